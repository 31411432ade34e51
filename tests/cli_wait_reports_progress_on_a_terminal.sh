#!/bin/bash
# `lonet wait` says on a terminal what it waits for, and which hosts are up if none of that name is; elsewhere it says nothing.
. "$(dirname "$0")/scenario.bash"

welcome
start server lonet run -H α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
cat >"$work/terminal.py" <<'PY'
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
PY
start waiting python3 "$work/terminal.py" lonet wait --timeout 60 α:81 αα:80
waiting=$pid
until_true grep '^lonet: waiting:' "$work/waiting"
is "$(tr -d '\r' <"$work/waiting")" "lonet: waiting: nothing listens on α:81, αα:80; α listens on 80; no host \"αα\" is up in network \
$LONET_NETWORK; up are: α" "what it waits for"
start one lonet run -H α -- python3 "$work/server.py" 81
start other lonet run -H αα -- python3 "$work/server.py" 80
wait "$waiting" || fail "$(<"$work/waiting")"
is "$(wc -l <"$work/waiting")" 1 "it is said once"
code 0 python3 "$work/terminal.py" lonet wait --timeout 60 α:80
is "$out" "" "nothing of what is there at once"
