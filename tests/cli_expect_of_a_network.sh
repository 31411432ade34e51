#!/bin/bash
# `lonet expect` compares what happens in a network as it happens, and ends as soon as it is clear.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import socket
s = socket.create_server(("", 80))
while True:
    s.accept()[0].close()
PY
cat >"$work/client.py" <<'PY'
import socket, sys
try:
    socket.create_connection(("web.lonet", int(sys.argv[1]))).recv(1)
except ConnectionRefusedError:
    pass
PY
client() { lonet run -H "$1" -- python3 "$work/client.py" "$2"; }

code 2 lonet expect --record -
like "$err" "is not running" "what was not recorded is not written"

code 1 lonet expect --within 300ms -e 'one dial'
like "$out" 'nothing: 0.3 s have passed$' "a network that may begin yet is waited for"
like "$err" "^lonet: network \"$LONET_NETWORK\" is not running" "one that has not begun is said not to run"

lonet trace --start
start server lonet run -H web -- python3 "$work/server.py"
lonet wait --timeout 60 web:80
start expect lonet expect --within 100s -e 'web listening web:80' -e 'one dial one:1 -> web:80' \
    -e 'eventually within 60s one closed one:1 -> web:80'
expect=$pid
client one 80
wait "$expect" || fail "it has happened: $(<"$work/expect")"
is "$(<"$work/expect")" "" "what has happened before counts, and what happens then"

start expect lonet expect --within 100s -e 'two dial' -e 'eventually two connected'
expect=$pid
start refused lonet expect --within 100s -e 'two dial two:* -> *' -e 'never two refused' -e 'two connected'
refused=$pid
# lonetd is killed, and followed by another one: they go on.
kill_lonetd
client two 81
code=0
wait "$refused" || code=$?
is "$code" 1 "an event that is not to happen"
like "$(<"$work/refused")" '^-e:2: what never happens has happened
.*
  - never two refused
  \+ .* two python3.* refused two:1 → web:81 error=ECONNREFUSED' "is shown at once"
client two 80
wait "$expect" || fail "it has happened: $(<"$work/expect")"

code 1 lonet expect --within 300ms -e 'three dial'
like "$out" '^-e:1: what is expected has not happened
  - three dial
  \+ nothing: 0.3 s have passed$' "what does not happen"
code 1 lonet expect --within 100s -e 'web listening' -e 'within 10ms three dial'
like "$out" 'nothing: its time is over$' "what does not happen within its own time"

lonet expect --record "$work/golden"
grep -q 'two refused two:1 -> web:81 error=ECONNREFUSED' "$work/golden" || fail "recorded: $(<"$work/golden")"
code 0 lonet expect "$work/golden"
code 0 lonet trace --svg - web
like "$out" '</svg>' "a chart of the network"

start expect lonet expect --within 100s -e 'three dial'
expect=$pid
# It looks when it has the trace open.
until_true eval 'ls -l /proc/$expect/fd | grep -q /trace$'
lonet down --kill
code=0
wait "$expect" || code=$?
is "$code" 1 "an end of the network"
like "$(<"$work/expect")" 'nothing: the network has ended$' "is said"
