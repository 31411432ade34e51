#!/bin/bash
# Another user takes the abstract name of the control socket while no lonetd has it: the network comes back under another
# name, which a member that has dropped its privileges knows as well.
. "$(dirname "$0")/scenario.bash"

as_another_user
cat >"$work/squat.py" <<'END'
# NAME: takes it as another user as soon as it is free, and says so.
import os, signal, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
print("begins", flush=True)
while True:
    try:
        s.bind(b"\0" + sys.argv[1].encode())
        break
    except OSError:
        pass
s.listen()
print("taken", flush=True)
signal.pause()
END
cat >"$work/worker.py" <<'END'
# Joins, drops its privileges, and listens on one more port for each line of input.
import os, socket, sys
kept = [socket.create_server(("", 0))]
os.setgroups([]), os.setgid(65533), os.setuid(65533)
for line in sys.stdin:
    kept.append(socket.create_server(("", 0)))
    print(kept[-1].getsockname()[1], flush=True)
END
welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
commanded 9 worker lonet run --host β -- python3 "$work/worker.py"
echo >&9
until_true grep -q 2 "$work/worker"
name=$(abstract_name "$(lonetd)")

kill_lonetd
until_true eval '[ "$(timeout 20 lonet run --host γ -- python3 "$work/dial.py" α.lonet 80)" = welcome ]'
is "$(abstract_name "$(lonetd)")" "$name" "a lonetd that follows has the name of the one before"

start squat python3 "$work/squat.py" "$name"
until_true grep -q begins "$work/squat"
kill_lonetd
until_true grep -q taken "$work/squat"
is "$(timeout 20 lonet run --host γ -- python3 "$work/dial.py" α.lonet 80)" welcome "the owner's programs bring it back"
echo >&9
until_true grep -q 3 "$work/worker"
echo "ok: a worker finds it"
[ "$(abstract_name "$(lonetd)")" != "$name" ] || fail "the name was not taken"
like "$(<"$TMPDIR/lonet/$LONET_NETWORK/log")" "uid 65534 has taken the abstract name" "and the log says who is in the way"
exec 9>&-
