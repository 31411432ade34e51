#!/bin/bash
# A process in another network namespace, whose loopback is not the network's, is refused with the reason. lonetd and
# the network's programs go on.
. "$(dirname "$0")/scenario.bash"

# As another user a user namespace is needed, too: one in which everybody keeps the own uid.
elsewhere=(unshare --net)
[ "$(id -u)" = 0 ] || elsewhere=(unshare --user --map-current-user --net)
if ! why=$("${elsewhere[@]}" true 2>&1); then
    echo "skipped: no network namespace can be made here: $why"
    exit 0
fi
welcome
cat >"$work/try.py" <<'END'
import errno, socket
for what in (lambda: socket.create_server(("", 0)), lambda: socket.create_connection(("127.0.0.1", 80))):
    try:
        what()
        print("done")
    except OSError as e:
        print(errno.errorcode[e.errno])
END
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
daemon=$(lonetd)
before=$(lonet ls)
reason="this process is in another network namespace .* than the network's programs, whose loopback it does not reach: start all of \
them in one, or use another network"

: >"$work/why"
is "$(LONET_LOG=$work/why lonet run --host β -- "${elsewhere[@]}" python3 "$work/try.py")" $'EACCES\nEACCES' \
    "listening and dialing there are refused"
like "$(<"$work/why")" "$reason" "the log says why"
for command in ls down "wait α:80" "run -H β -- true"; do
    want=1
    [[ $command != run* ]] || want=125
    # shellcheck disable=SC2086
    code $want "${elsewhere[@]}" lonet $command
    like "$err" "^lonet: network \"$LONET_NETWORK\": $reason" "lonet $command says why"
done
code 0 "${elsewhere[@]}" lonet networks
like "$err" "^lonet: network \"$LONET_NETWORK\": $reason" "lonet networks says why"

is "$(lonetd)" "$daemon" "the same lonetd serves the network"
is "$(lonet ls)" "$before" "what it knows is as it was"
is "$(lonet run --host γ -- python3 "$work/dial.py" α.lonet 80)" welcome "and others are served"

# lonetd has been killed: none is started there, where it would find all sockets of the network dead.
there=("${elsewhere[@]}" env LD_PRELOAD="$library" LONET_HOST=β LONET_LOG="$work/why")
kill_lonetd
: >"$work/why"
is "$("${there[@]}" python3 "$work/try.py")" $'EACCES\nEACCES' "refused without a lonetd, too"
like "$(<"$work/why")" "$reason" "with the reason"
code 1 "${elsewhere[@]}" lonet ls
like "$err" "$reason" "which lonet ls has"
is "$(lonet ls)" "$before" "the next lonetd knows what the one before knew"
is "$(lonet run --host γ -- python3 "$work/dial.py" α.lonet 80)" welcome "and serves"

kill_lonetd
stop "${started[@]}"
started=()
like "$("${there[@]}" python3 "$work/try.py")" '^done' "a network that lives nowhere begins anew where it is asked for"
until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
