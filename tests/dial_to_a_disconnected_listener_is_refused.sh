#!/bin/bash
# A listener whose program has ended its listening, by connect with AF_UNSPEC or by shutdown, is refused to who dials it: the dial
# does not reach another user's program that listens at its OS address since, also while lonetd has not been notified. The
# listener can listen again at its port.
. "$(dirname "$0")/scenario.bash"
need python3

as_another_user
cat >"$work/listen.py" <<'END'
import ctypes, os, socket, sys
s = socket.create_server(("", 8080))
print("listens", flush=True)
def disconnect():
    if ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16) != 0:
        raise OSError("connect with AF_UNSPEC")
def by_child():
    child = os.fork()
    if child == 0:
        disconnect()
        os._exit(0)
    os.waitpid(child, 0)
ways = {"disconnect": disconnect, "a child": by_child, "shutdown": lambda: s.shutdown(socket.SHUT_RDWR)}
sys.stdin.readline()
ways[sys.argv[1]]()
print("ended", flush=True)
sys.stdin.readline()
s.listen()
print("again", flush=True)
while True:
    s.accept()[0].sendall(b"member")
END
cat >"$work/outsider.py" <<'END'
import os, socket, sys
ip, port = sys.argv[1].rsplit(":", 1)
os.setuid(65534)
s = socket.create_server((ip, int(port)))
print("listens", flush=True)
while True:
    s.accept()[0].sendall(b"outsider")
END
cat >"$work/dial.py" <<'END'
import socket, sys
to = (sys.argv[1], int(sys.argv[2]))
first = socket.create_connection(to) if len(sys.argv) > 3 else None
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(socket.create_connection(to).recv(8).decode(), flush=True)
    except OSError as e:
        print(e.strerror, flush=True)
END
dialed() { [ "$(wc -l <"$work/dials")" -gt "$1" ]; }
dial() {
    local before
    before=$(wc -l <"$work/dials")
    echo >&6
    until_true dialed "$before"
    is "$(tail -n 1 "$work/dials")" "$1" "$2"
}
listening() { lonet ls | grep -c ':8080 .*listening' || true; }
# Processes that wait for lonetd to take a connection.
waiting() { ss -xlpH | awk -v pid="pid=$(lonetd)," 'index($0, pid) { n += $3 } END { print n + 0 }'; }
is_asked_or_over() { [ "$(waiting)" -gt "$asks" ] || dialed 1; }

# is_refused WHAT WHETHER-LONETD-RUNS COMMAND…: of the listener that the command starts.
is_refused() {
    local what=$1 lonetd_is=$2 asks outsider
    shift 2
    commanded 5 listens "$@"
    lonet wait --timeout 120 a:8080
    server=$pid
    os=$(lonet addr a:8080)
    commanded 6 dials lonet run --host b -- python3 "$work/dial.py" a.lonet 8080 first
    dials=$pid
    until_true grep -q ready "$work/dials"
    daemon=$(lonetd)
    [ "$lonetd_is" = runs ] || stop_lonetd
    echo >&5
    until_true eval '! ss -tlnH src "$os" | grep -q .'
    [ "$lonetd_is" != runs ] || until_true grep -q ended "$work/listens"
    start outsider python3 "$work/outsider.py" "$os"
    outsider=$pid
    until_true grep -q listens "$work/outsider"
    is "$(echo | python3 "$work/dial.py" "${os%:*}" "${os##*:}")" $'ready\noutsider' "$what: the outsider is there"
    if [ "$lonetd_is" != runs ]; then
        asks=$(waiting)
        echo >&6
        until_true is_asked_or_over
        kill -CONT "$daemon"
        until_true dialed 1
        is "$(tail -n 1 "$work/dials")" "Connection refused" "$what: a dial while lonetd was stopped"
    fi
    until_true grep -q ended "$work/listens"
    # Nobody notifies lonetd of the shutdown of a supervised program, and it finds out at the dial.
    [[ $what == *shutdown*supervise* ]] || is "$(listening)" 0 "$what: lonet ls lists no listener"
    dial "Connection refused" "$what: a dial"
    kill "$outsider"
    until_true ended "$outsider"
}
end() {
    exec 5>&- 6>&-
    stop "$server" "$dials"
    until_true eval '[ "$(listening)" = 0 ]'
}

# try WAY WHETHER-LONETD-RUNS [OPTION…]
try() {
    is_refused "$*" "$2" lonet run --host a "${@:3}" -- python3 "$work/listen.py" "$1"
    echo >&5
    until_true grep -q again "$work/listens"
    dial member "$*: it listens again"
    is "$(lonet addr a:8080)" "$os" "$*: at its address"
    end
}

try disconnect runs
try disconnect "is stopped"
try "a child" runs
try shutdown runs
try shutdown "is stopped"
try disconnect runs --supervise always
try shutdown runs --supervise always

cat >"$work/api.py" <<'END'
import ctypes, os, sys
lib = ctypes.CDLL(sys.argv[1])
net, host = ctypes.c_void_p(), ctypes.c_void_p()
TCP_PORTS = 2
lib.lonet_join(os.environ["LONET_NETWORK"].encode(), ctypes.byref(net))
lib.lonet_host_new(net, b"a", TCP_PORTS, ctypes.byref(host))
s = lib.lonet_listen(host, b":8080", 8)
sys.stdin.readline()
if (lib.connect(s, bytes(16), 16) if sys.argv[2] == "disconnect" else lib.shutdown(s, 2)) == 0:
    print("ended", flush=True)
sys.stdin.readline()
lib.lonet_leave(net)
END
for way in disconnect shutdown; do
    for lonetd_is in runs "is stopped"; do
        is_refused "C API: $way, lonetd $lonetd_is" "$lonetd_is" python3 "$work/api.py" "$library" "$way"
        end
    done
done
