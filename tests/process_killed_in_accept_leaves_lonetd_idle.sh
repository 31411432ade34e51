#!/bin/bash
# A program is killed while it asks who calls, and lonetd waits for the caller to tell: meanwhile lonetd sleeps.
. "$(dirname "$0")/scenario.bash"
need jq

start server lonet run -H α -- python3 -c '
import socket
s = socket.create_server(("", 80))
s.accept()'
server=$pid
start other lonet run -H β -- python3 -c 'import signal; signal.pause()'
lonet wait --timeout 120 α:80
daemon=$(lonetd)
os=$(lonet ls --json | jq -r '.hosts[].sockets[]? | select(.port == 80) | .os' | head -n 1)
# From a host's address, by a program that will not tell.
start caller python3 -c '
import signal, socket, sys
s = socket.socket()
s.bind((sys.argv[1], 0))
s.connect((sys.argv[1], int(sys.argv[2])))
print("connected", flush=True)
signal.pause()' "${os%:*}" "${os#*:}"
# It waits in recvfrom or recvmsg, of x86-64 or of aarch64.
asks() { grep -q connected "$work/caller" && grep -Eq '^(45|47|207|212) ' "/proc/$server/syscall"; }
until_true asks
switches() { cat /proc/"$daemon"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
before=$(switches)
kill -KILL "$server"
code 1 lonet wait --timeout 1 β:1
spent=$(($(switches) - before))
# What the machine's other sockets announce wakes it, too; in circles it is a hundred thousand.
[ "$spent" -lt 20000 ] || fail "lonetd has turned in circles: $spent switches"
echo "ok: lonetd slept"
