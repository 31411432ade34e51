#!/bin/bash
# An event has the name of the program that its process executes then: after exec, under `lonet run --trace`, where the program
# that is executed says nothing to anybody, and where it is supervised. No event is one of lonet's own processes.
. "$(dirname "$0")/scenario.bash"
need python3
welcome

start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
# Not a script that executes it.
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
for name in first second; do
    ln -s "$python" "$work/$name"
done
cat >"$work/first.py" <<'PY'
import os, socket, sys
socket.create_connection(("α.lonet", 80)).recv(7, socket.MSG_WAITALL)
if len(sys.argv) > 1:
    sys.stdin.readline()
here = os.path.dirname(sys.argv[0])
os.execv(here + "/second", [here + "/second", here + "/dial.py", "α.lonet", "80"])
PY
# HOST: its events, each with its program.
programs() {
    lonet trace --format jsonl >"$work/events"
    python3 - "$1" "$work/events" <<'PY'
import json, sys
for e in map(json.loads, open(sys.argv[2])):
    if e.get("host") == sys.argv[1] and e.get("event") in ("joined", "dial", "connected", "ended"):
        print(e.get("program"), e["event"])
PY
}
# HOST: whether a process of it has ended.
ends() {
    lonet trace --format jsonl | grep -q '"event":"ended","host":"'"$1"'"'
}
life="first joined
first dial
first connected
second dial
second connected
second ended"

code 0 lonet trace --start
code 0 lonet run --host β -- "$work/first" "$work/first.py"
until_true ends β
is "$(programs β)" "$life" "a program that executes another has the name of each in turn"

code 0 lonet run --host γ --trace "$work/trace" -- "$work/second" "$work/dial.py" α.lonet 80
is "$(grep '"host":"γ"' "$work/trace" | grep -o '"program":"[^"]*"' | sort -u)" '"program":"second"' "under --trace, too"

# Who has ended has a name until its parent waits for it.
commanded 6 parent python3 -c 'import subprocess, sys
with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL):
    sys.stdin.readline()' lonet run --host δ -- bash -c "ls >/dev/null; lonet ls >/dev/null; exec sleep 0"
until_true ends δ
echo >&6
wait "$pid"
is "$(programs δ)" "bash joined
sleep ended" "a program that never calls lonet is named at its end"

if lonet run --host probe --supervise always -- true 2>/dev/null; then
    commanded 5 said lonet run --host ε --supervise always -- "$work/first" "$work/first.py" waits
    is_connected() { programs ε | grep -q 'first connected'; }
    until_true is_connected
    echo >&5
    wait "$pid"
    until_true ends ε
    # It may try each of the addresses of a name.
    is "$(programs ε | uniq)" "$life" "and so it is where programs are supervised"
fi
is "$(lonet trace --format jsonl | grep -c '"program":"\(lonet\|exe\)"')" 0 "no event is one of lonet's own processes"
