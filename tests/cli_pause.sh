#!/bin/bash
# `lonet pause` stops all processes of a host, and `lonet resume` lets them go on: dials meet a host that hangs.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import os, socket
s = socket.create_server(("", 80))
if os.fork() == 0:
    while True:
        s.accept()[0].sendall(b"here")
os.wait()
PY
cat >"$work/client.py" <<'PY'
import socket, sys
s = socket.create_connection(("α.lonet", 80))
print("connected", flush=True)
print(s.recv(4).decode(), flush=True)
PY
# Who is killed does not end its child.
end_the_rest() { lonet kill -s KILL α >"$work/said" 2>&1 || true; }
start server lonet run -H α -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 α:80
code 0 lonet pause α
is "$out" "paused 2 processes of α" "it says how many"
is "$(pgrep -f "$work/server.py" | xargs ps -o stat= -p | cut -c 1 | sort | uniq -c | tr -d ' ')" 2T "both are stopped"
start client lonet run -H β -- python3 "$work/client.py"
client=$pid
until_true grep connected "$work/client"
is "$(<"$work/client")" connected "a dial is taken by the kernel, and nobody answers"
code 0 lonet resume α
is "$out" "resumed 2 processes of α" "they go on"
wait "$client"
is "$(<"$work/client")" $'connected\nhere' "and answer"
code 1 lonet pause γ
is "$err" "lonet: no host \"γ\" is up in network $LONET_NETWORK; up are: α" "a host that is not up"

gone() { ! lonet ls | grep -q ^α; }
# Who is asked to end while it is paused continues for that; other signals wait.
lonet pause α >"$work/said"
code 0 lonet kill -s USR1 α
is "$out" "sent SIGUSR1 to 2 processes of α; 2 that were paused will take it after \`lonet resume\`" "a signal that waits is said"
ended "$server" && fail "USR1 was taken at once"
lonet resume α >"$work/said"
until_true ended "$server"
until_true gone
start server lonet run -H α -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 α:80
lonet pause α >"$work/said"
code 0 lonet kill α
like "$out" "^sent SIGTERM to 2 processes of α; 2 that were paused continued to take it$" "TERM"
until_true ended "$server"
until_true gone
start server lonet run -H α -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 α:80
lonet pause α >"$work/said"
code 0 lonet kill -s KILL α
is "$out" "sent SIGKILL to 2 processes of α" "KILL needs no more words"
until_true ended "$server"
