#!/bin/bash
# Sockets that another user has in every block of loopback addresses, or on every port where lonetd listens usually, keep
# no network from starting, and none whose lonetd was killed from coming back.
#
# As root in a network namespace of its own, where that is allowed: other tests choose their blocks meanwhile.
if [ "$(id -u)" = 0 ] && [ -z "${IS_IN_NAMESPACE-}" ] && unshare -n true 2>/dev/null; then
    IS_IN_NAMESPACE=1 exec unshare -n bash -c 'ip link set lo up && exec "$0"' "$0"
fi
. "$(dirname "$0")/scenario.bash"
. "$(dirname "$0")/owners.bash"
each_owner

cat >"$work/squat.py" <<'END'
# UID WAY [BLOCK]: listens or binds as that user, says "there", and waits.
import os, resource, signal, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
uid, way, block = int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
if os.getuid() == 0:
    os.setgroups([]), os.setgid(uid), os.setuid(uid)
PORTS = 7373, 17373, 27373, 5373
kept = []
def take(address, port, listens=True):
    kept.append(socket.socket())
    while True:
        try:
            kept[-1].bind((address, port))
            break
        except OSError:
            # What lonetd has still is to be had when that is killed.
            if not block:
                return
    if listens:
        kept[-1].listen()
print("begins", flush=True)
for n in range(1, 255) if block is None else [block]:
    match way:
        case "stack":
            [take(f"127.{n}.255.254", port) for port in PORTS]
        case "hosts":
            take(f"127.{n}.9.9", 1024)
        case "bound":
            take(f"127.{n}.9.9", 0, listens=False)
        case "wildcard" if n == 1:
            [take("0.0.0.0", port) for port in PORTS]
print("there", flush=True)
signal.pause()
END
cat >"$work/dials.py" <<'END'
# Dials α:80 again and again, at each line of input.
import socket, sys
for line in sys.stdin:
    print(socket.create_connection(("α.lonet", 80)).recv(7, socket.MSG_WAITALL).decode(), flush=True)
END
welcome
squat() {
    start squat "$python" "$work/squat.py" "${outsiders[0]-$UID}" "$@"
    squatter=$pid
    until_true grep -q there "$work/squat"
}

# The owner's own would be another network of the owner's.
if [ "$(id -u)" = 0 ]; then
    for way in stack hosts bound; do
        squat "$way"
        is "$(lonet run -n "$LONET_NETWORK-$way" -H α -- echo ran)" ran "a network starts beside others' sockets: $way"
        stop "$squatter"
    done
fi
squat wildcard
is "$(lonet run -n "$LONET_NETWORK-wild" -H α -- echo ran)" ran "a network starts beside wildcard listeners"
stop "$squatter"

[ "$(id -u)" = 0 ] || exit 0
start server lonet run --host α -- "$python" "$work/server.py" 80
lonet wait --timeout 120 α:80
commanded 9 dials lonet run --host β -- "$python" "$work/dials.py"
echo >&9
until_true eval '[ "$(grep -c welcome "$work/dials")" = 1 ]'
block=$(lonet addr α:80 | cut -d. -f2)
start squat "$python" "$work/squat.py" "${outsiders[0]}" stack "$block"
squatter=$pid
until_true grep -q begins "$work/squat"
kill_lonetd
until_true grep -q there "$work/squat"
echo >&9
until_true eval '[ "$(grep -c welcome "$work/dials")" = 2 ]'
echo "ok: a network comes back where somebody else listens in its lonetd's place"
is "$(lonet run --host γ -- "$python" "$work/dial.py" α.lonet 80)" welcome "and others come in"
like "$(<"$TMPDIR/lonet/$LONET_NETWORK/log")" "foreign peers are served at 127.$block.255.254:[0-9]+: all the usual ports" \
    "which the log says"
stop "$squatter"
exec 9>&-
