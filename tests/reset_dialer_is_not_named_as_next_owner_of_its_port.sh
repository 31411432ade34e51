#!/bin/bash
# Another user's connection that was reset while it waited leaves its port to a program of the owner's: what it has said is
# not taken for that one's word.
. "$(dirname "$0")/scenario.bash"

as_another_user
hear_when_told
cat >"$work/call.py" <<'EOF'
# call.py IP PORT FROM WORD RESET: from a port that is said, and stays until stdin ends or resets the connection.
import os, socket, struct, sys
ip, port, source, word, reset = sys.argv[1:6]
if reset == "reset":
    os.setuid(65534)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(source)))
s.connect((ip, int(port)))
s.sendall(word.encode())
if reset == "reset":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
else:
    print("there", flush=True)
    sys.stdin.read()
EOF
commanded 7 server lonet run --host α -- python3 "$work/next.py"
until_true grep -q ready "$work/server"
os=$(lonet addr α:80)
python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$work/port"
port=$(<"$work/port")

python3 "$work/call.py" "${os%:*}" "${os#*:}" "$port" strangers reset 7>&-
commanded 8 called python3 "$work/call.py" "${os%:*}" "${os#*:}" "$port" owners stay
until_true grep -q there "$work/called"
echo next >&7
until_true eval '[ "$(wc -l <"$work/server")" -ge 2 ]'
is "$(tail -n 1 "$work/server")" owners "the connection that lives is the owner's"
exec 7>&- 8>&-
