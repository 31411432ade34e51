#!/bin/bash
# A process that joined, forked twice and closed all that it had is a member still: its host is up while it lives, and
# it listens again when it likes.
. "$(dirname "$0")/scenario.bash"

cat >"$work/daemon.py" <<'END'
import os, signal, socket, sys
again, out = sys.argv[1:]
joined = socket.create_server(("", 80))
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.closerange(0, 1024)
with open(out, "w") as f:
    print(os.getpid(), file=f)
open(again).read()
s = socket.create_server(("", 0))
with open(out, "a") as f:
    print("listens on", s.getsockname()[1], file=f)
c, a = s.accept()
c.sendall(b"welcome")
c.close()
open(again).read()
END
cat >"$work/dial.py" <<'END'
import errno, socket, sys
try:
    print(socket.create_connection(("α.lonet", int(sys.argv[1]))).recv(7, socket.MSG_WAITALL).decode())
except OSError as e:
    print(errno.errorcode.get(e.errno, e))
END
# Should the scenario fail, the daemon is to end: it is no child of this shell.
end_the_rest() { lonet down --kill 2>/dev/null || true; }
dial() { lonet run --host β -- python3 "$work/dial.py" "$1"; }
mkfifo "$work/again"
lonet run --host α -- python3 "$work/daemon.py" "$work/again" "$work/out"
until_true [ -s "$work/out" ]
served_by=$(lonetd)

for i in 1 2 3; do
    is "$(dial 80)" ECONNREFUSED "its host is up, and nothing listens there ($i)"
done
is "$(lonetd)" "$served_by" "its network has not ended meanwhile"
echo >"$work/again"
lonet wait --timeout 120 α:1
until_true grep -q "listens on 1" "$work/out"
is "$(dial 1)" welcome "it has come back, and is reached"
echo >"$work/again"
until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
echo "ok: with it its network ends"
