#!/bin/bash
# A socket that its program bound keeps its port when its connection is reset, and is no connection to a lonetd that begins then.
. "$(dirname "$0")/scenario.bash"

cat >"$work/reset.py" <<'END'
import socket, struct, sys
listener = socket.create_server(("", 80))
bound = socket.socket()
bound.bind(("", 7))
bound.connect(("α.lonet", 80))
accepted, _ = listener.accept()
accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
accepted.close()
try:
    bound.recv(1)
except ConnectionResetError:
    print("reset", flush=True)
for _ in sys.stdin:
    try:
        socket.socket().bind(("", 7))
        print("bind: done", flush=True)
    except OSError as e:
        print(f"bind: {e.strerror}", flush=True)
END
mkfifo "$work/in"
lonet run --host α -- python3 "$work/reset.py" <"$work/in" >"$work/said" &
started+=($!)
exec 9>"$work/in"
until_true grep -q reset "$work/said"

kill_lonetd
like "$(lonet ls)" "α:7 +bound +-" "the next lonetd sees a socket that is bound"
echo bind >&9
until_true grep -q bind "$work/said"
is "$(grep bind "$work/said")" "bind: Address already in use" "its port is its own"
exec 9>&-
