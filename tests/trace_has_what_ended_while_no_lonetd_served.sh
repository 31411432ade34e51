#!/bin/bash
# What ends while no lonetd serves is in the trace: connections that their programs close, a process that is killed, with its
# connections, and its host.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/both.py" <<'PY'
"""Has a connection for each line of its input, and closes it at the next line."""
import socket, sys
server = socket.create_server(("", 80))
for line in sys.stdin:
    ends = socket.create_connection(("α.lonet", 80)), server.accept()[0]
    print("connected", flush=True)
    sys.stdin.readline()
    for end in ends:
        end.close()
    print("closed", flush=True)
PY
# HOST [WORD…]: how many sockets the host has closed, in events with all these words.
closes() {
    lonet trace | awk -v host="$1" -v words="${*:2}" 'BEGIN { n = split(words, all, " ") }
        $2 != host || $4 != "closed" { next }
        { for (i = 1; i <= n; i++) if (!index($0, all[i])) next; found++ }
        END { print found + 0 }'
}
commanded 3 both lonet run --host α -- python3 "$work/both.py"
echo >&3
until_true grep -q connected "$work/both"
code 0 lonet trace --start
welcome
start other lonet run --host β -- python3 "$work/server.py" 80
lonet wait --timeout 120 β:80
cat >"$work/hold.py" <<'PY'
import signal, socket
held = socket.create_connection(("β.lonet", 80))
print("connected", flush=True)
signal.pause()
PY
start goes_on lonet run --host γ -- python3 "$work/hold.py"
start killed lonet run --host δ -- python3 "$work/hold.py"
killed=$pid
until_true grep -q connected "$work/goes_on"
until_true grep -q connected "$work/killed"
until_true eval '[ "$(closes β)" = 2 ]'
kill_lonetd
echo >&3
until_true grep -q closed "$work/both"
kill -KILL "$killed"
until_true ended "$killed"
is "$(closes α α:80 by=program)" 2 "both ends that a program has closed are in the trace"
is "$(closes δ β:80 by=death)" 1 "and that of a process that was killed"
is "$(closes γ)" 0 "one that goes on has no close"
is "$(lonet trace | awk '$4 == "ended"' | grep -c "($killed)")" 1 "so is its end"
until_true eval 'lonet trace | grep -q "δ host_down"'
kill_lonetd
is "$(closes α) $(closes β) $(closes γ) $(closes δ)" "2 2 0 1" "none is there twice"
