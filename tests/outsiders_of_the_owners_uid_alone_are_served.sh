#!/bin/bash
# A program outside lonet reaches a listener by its OS address if it is the owner's, and not if it is another user's.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'END'
import socket
s = socket.create_server(("", 80), backlog=8)
while True:
    c, a = s.accept()
    print(a[0], flush=True)
    c.sendall(b"welcome")
    c.close()
END
cat >"$work/stranger.py" <<'END'
import encodings.idna, os, socket, sys
if len(sys.argv) > 2:
    os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
host, port = sys.argv[1].rsplit(":", 1)
s = socket.create_connection((host, int(port)))
try:
    print(s.recv(7, socket.MSG_WAITALL).decode() or "closed")
except ConnectionResetError:
    print("reset")
END
start server lonet run --host α -- python3 "$work/server.py"
lonet wait --timeout 120 α:80
os=$(lonet addr α:80)
is "$(python3 "$work/stranger.py" "$os")" welcome "a stranger of the owner's uid is let in"
until_true [ -s "$work/server" ]
is "$(<"$work/server")" 127.0.0.1 "accept says where it calls from"
if [ "$(id -u)" = 0 ]; then
    is "$(python3 "$work/stranger.py" "$os" 65534)" reset "a stranger of another uid is reset"
    is "$(python3 "$work/stranger.py" "$os")" welcome "and the server goes on for the next one"
    is "$(wc -l <"$work/server")" 2 "having seen nothing of it"
fi
is "$(lonet run --host β -- python3 "$work/stranger.py" α.lonet:80)" welcome "as it does for hosts of the network"
