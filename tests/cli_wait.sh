#!/bin/bash
# `lonet wait` returns as soon as something listens on each address; at the timeout it names those that are missing.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import socket, sys
held = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
sys.stdin.read()
PY
start waiting lonet wait --timeout 60 α:80 β:81
waiting=$pid
mkfifo "$work/end"
lonet run -H α -- python3 "$work/server.py" 80 82 <>"$work/end" &
started+=($!)
code 0 lonet wait --timeout 60 α:80
code 0 lonet wait --timeout 60 α:80 α:82
code 0 lonet wait --timeout 60 α.lonet:80
kill -0 "$waiting" || fail "the wait for α:80 and β:81 has ended without β"
lonet run -H β -- python3 "$work/server.py" 81 <>"$work/end" &
started+=($!)
wait "$waiting" || fail "the wait that began before the network did: $(<"$work/waiting")"
echo "ok: waits for what is not there yet, the network included"

code 1 lonet wait --timeout 0.2 α:80 α:83 γ:1
is "$err" "lonet: nothing listens on α:83, γ:1; α listens on 80, 82; no host \"γ\" is up in network $LONET_NETWORK; up are: α, β" \
    "the missing ones are named, and what there is"
code 1 lonet wait --timeout 0 β:80
is "$err" "lonet: nothing listens on β:80; β listens on 81" "another host's port does not count"
code 1 lonet wait -n "$LONET_NETWORK-other" --timeout 0.1 α:80
is "$err" "lonet: nothing listens on α:80; network \"$LONET_NETWORK-other\" is not running; running are: $LONET_NETWORK" "another network's neither"
