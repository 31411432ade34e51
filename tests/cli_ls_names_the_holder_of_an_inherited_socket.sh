#!/bin/bash
# `lonet ls` names the process that holds a socket where the one that made it has ended: a member, or a child that has never
# used the network, beside others of its host.
. "$(dirname "$0")/scenario.bash"
need jq python3

cat >"$work/server.py" <<'PY'
import os, signal, socket
s = socket.create_server(("", 80))
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
held = s.accept()
signal.pause()
PY
cat >"$work/client.py" <<'PY'
import os, signal, socket
held = socket.create_connection(("α.lonet", 80))
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
signal.pause()
PY
holders=()
end_the_rest() { lonet down --kill 2>/dev/null || true; }
start other lonet run --host β -- sleep 1000
until_true eval 'lonet ls | grep -q "^β"'
start server lonet run --host α -- python3 "$work/server.py"
until_true grep -q . "$work/server"
holders+=("$(<"$work/server")")
start client lonet run --host β -- python3 "$work/client.py"
until_true grep -q . "$work/client"
holders+=("$(<"$work/client")")

rows() { lonet ls --json | jq -c '.hosts[] | .name as $host | .sockets[] | [$host, .state, .pid, .program]' | sort; }
want=$(printf '%s\n' "[\"α\",\"connected\",${holders[0]},\"python3\"]" "[\"α\",\"listening\",${holders[0]},\"python3\"]" \
    "[\"β\",\"connected\",${holders[1]},\"python3\"]" | sort)
are_named() { [ "$(rows)" = "$want" ]; }
until_true are_named
is "$(rows)" "$want" "each socket has its holder"
