#!/bin/bash
# `lonet down --kill` is killed while it waits for a program that does not end by TERM: until that is killed lonetd sleeps.
. "$(dirname "$0")/scenario.bash"

start stubborn lonet run -H α -- python3 -c '
import signal
signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
print("up", flush=True)
while True:
    signal.pause()'
stubborn=$pid
until_true grep up "$work/stubborn"
daemon=$(lonetd)
start down lonet down --kill
until_true grep TERM "$work/stubborn"
# How often its threads have gone to sleep or made room for others.
switches() { cat /proc/"$daemon"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
before=$(switches)
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
until_true ended "$stubborn"
spent=$(($(switches) - before))
# What the machine's other sockets announce wakes it, too; in circles it is a hundred thousand.
[ "$spent" -lt 20000 ] || fail "lonetd has turned in circles: $spent switches"
echo "ok: lonetd slept"
