#!/bin/bash
# Another user's processes that connect to the control socket and say nothing cost members nothing: the owner's programs
# and those that dropped their privileges go on, and the network ends when its programs have or it is told to.
. "$(dirname "$0")/scenario.bash"

as_another_user
. "$(dirname "$0")/owners.bash"
each_owner
cat >"$work/flood.py" <<'END'
# As another user: keeps 3000 silent connections to whatever has an abstract name of lonet's, and makes new ones for those
# that were closed. Says how many were made, at each hundred.
import os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
kept, made = [None] * 3000, 0
def is_open(s):
    try:
        return s is not None and s.recv(1, socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
while True:
    for i, s in enumerate(kept):
        if is_open(s):
            continue
        kept[i] = s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        try:
            s.connect(b"\0" + sys.argv[1].encode())
        except OSError:
            continue
        made += 1
        if made % 100 == 0:
            print(made, flush=True)
END
welcome
start server lonet run --host α -- "$python" "$work/server.py" 80
server=$pid
lonet wait --timeout 120 α:80
daemon=$(lonetd)
# Of nobody's programs none can become another user's.
worker_is() {
    [ -n "${OWNER_IS_NOBODY-}" ] || is "$(timeout 10 lonet run --host β -- "${worker[@]}")" "65533 1" "$1"
}
worker_is "a worker is a member"

name=$(abstract_name "$daemon")
start flood "$python" "$work/flood.py" "$name" "${outsiders[0]}"
until_true [ -s "$work/flood" ]
for n in 1 2 3 4 5; do
    is "$(timeout 10 lonet run --host γ -- "$python" "$work/dial.py" α.lonet 80)" welcome "a program of the owner's dials, $n"
done
worker_is "a worker is a member still"
log=$(grep -c "" "$TMPDIR/lonet/$LONET_NETWORK/log")
made=$(tail -n 1 "$work/flood")
until_true eval '[ "$(tail -n 1 "$work/flood")" -ge $((made + 1000)) ]'
[ $(($(grep -c "" "$TMPDIR/lonet/$LONET_NETWORK/log") - log)) -le 3 ] || fail "the log has a line for each"
like "$(<"$TMPDIR/lonet/$LONET_NETWORK/log")" "connections of other users' processes to the control socket closed" \
    "the log has a count of them"
stop "$server"
until_true ended "$daemon"
echo "ok: the network ends, whoever is there"

start server lonet run --host α -- "$python" "$work/server.py" 80
server=$pid
lonet wait --timeout 120 α:80
name=$(abstract_name "$(lonetd)")
start flood "$python" "$work/flood.py" "$name" "${outsiders[0]}"
until_true [ -s "$work/flood" ]
code 1 lonet down
like "$err" "is in use by python3 \(pid $server\)" "who asks for the end is told who is there, and outsiders are not"
code 0 lonet down --kill
is "$(ls "$TMPDIR/lonet")" "" "the network ends when it is told to, whoever is there"
