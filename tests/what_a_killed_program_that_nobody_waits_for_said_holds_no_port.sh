#!/bin/bash
# A program is killed while what it said of a dial waits for lonetd, and nobody has waited for it: there is still a process of
# that pid when lonetd hears of the dial, which holds no port all the same, and the next program's dial has the first one.
. "$(dirname "$0")/scenario.bash"
need ss

cat >"$work/parent.py" <<'END'
import os, signal, sys
child = os.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
print("child", child, flush=True)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ended", flush=True)
signal.pause()
END
start_self_dialer
dialer 8 python3 "$work/parent.py"
dialer 9 python3 "$work/parent.py"
stop_lonetd
echo >&8
until_true is_knocked_for
kill -KILL "$(awk '$1 == "child" { print $2 }' "$work/out8")"
until_true grep -q ended "$work/out8"
echo >&9
# Some time after it has said where it goes it asks.
until_true waits
kill -CONT "$daemon"
until_true eval '[ "$(wc -l <"$work/out9")" -ge 3 ]'
is "$(sed -n 3p "$work/out9")" 1 "the first free port"
