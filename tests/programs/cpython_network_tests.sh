#!/bin/bash
# CPython's own network tests have the same results on host α as without lonet, but for those that
# cpython_network_tests.differ lists with the reason. With --full more of them, and with LD_PRELOAD alone, too: there
# nothing differs. The interpreter and its tests are Debian's.
. "$(dirname "$0")/../scenario.bash"
need /etc/services python3-testsuite

# Left out: VSOCK hangs on some kernels; test_sethostname renames the machine; the rest asks hosts of the internet.
left_out=('*VSOCK*' '*test_sethostname*' '*test_idna*' '*NetworkedTests*')
# On a machine that does not know its own name these skip themselves; a host knows its.
getent hosts "$(uname -n)" >/dev/null || left_out+=('*testHostnameRes*' '*testSockName*')
ways=(plain host) modules=(test_socket test_select test_selectors test_socketserver)
if [ "${LONET_FULL-}" ]; then
    ways+=(preloaded)
    modules+=(test_asyncio test_ssl test_httplib test_urllib2_localnet test_ftplib test_smtplib test_poplib test_imaplib
        test_telnetlib test_xmlrpc)
fi

# tests WAY RESULTS [OPTION…]
tests() {
    local before=()
    case $1 in
        host) before=(lonet run -H α --) ;;
        preloaded) before=(env LD_PRELOAD="$library") ;;
    esac
    # Its exit code says whether all passed; what passed is in the results.
    "${before[@]}" /usr/bin/python3 -m test -u network "${left_out[@]/#/--ignore=}" --junit-xml "$2.xml" "${@:3}" || true
    python3 "$work/results.py" "$2.xml" >"$2"
}
cat >"$work/results.py" <<'PY'
import sys, xml.etree.ElementTree as tree
for case in tree.parse(sys.argv[1]).iter("testcase"):
    how = {part.tag for part in case} & {"failure", "error", "skipped"}
    print(case.get("name").removeprefix("test."), *how or ["passed"])
PY

mkdir "$work/results"
running=()
for way in "${ways[@]}"; do
    tests "$way" "$work/results/$way" "${modules[@]}" >"$work/$way" 2>&1 &
    running+=($!)
    # One after the other where there are many: some measure times.
    [ -z "${LONET_FULL-}" ] || wait $!
done
wait "${running[@]}"

# differences WAY: the tests whose results differ from the plain ones.
differences() { diff <(sort "$work/results/plain") <(sort "$work/results/$1") | awk '/^[<>]/ { print $2 }' | sort -u; }
passed=$(grep -c ' passed$' "$work/results/plain")
[ "$passed" -gt 300 ] || fail "only $passed tests passed without lonet"
echo "ok: $passed tests pass without lonet"
for way in "${ways[@]:1}"; do
    listed=$work/none
    : >"$listed"
    [ "$way" != host ] || sed -n 's/^\([^# ]*\) .*/\1/p' "$tests/programs/cpython_network_tests.differ" | sort >"$listed"
    # What differs and is not listed is tried again, alone: some tests fail on a machine that is busy.
    for name in $(comm -23 <(differences "$way") "$listed"); do
        for again in plain "$way"; do
            tests "$again" "$work/again" -m "test.$name" "${name%%.*}" >"$work/again.log" 2>&1
            sed -i "/^$name /d" "$work/results/$again"
            cat "$work/again" >>"$work/results/$again"
        done
    done
    is "$(comm -23 <(differences "$way") "$listed")" "" "$way: none but the listed ones differ"
    [ -n "${LONET_FULL-}" ] || continue
    is "$(comm -13 <(differences "$way") "$listed")" "" "$way: all that are listed do"
done
