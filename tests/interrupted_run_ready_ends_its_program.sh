#!/bin/bash
# Ctrl-C, or a signal that ends `lonet run --ready` while it waits, ends the program, too. Ignored signals are ignored.
. "$(dirname "$0")/scenario.bash"
export XDG_STATE_HOME=$work/state

cat >"$work/interrupt.py" <<'PY'
"""interrupt.py SIGNAL COMMAND…: runs the command, sends it the signal when it is told to, and prints how it has ended."""
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
process = subprocess.Popen(sys.argv[2:], start_new_session=True)
sys.stdin.readline()
process.send_signal(getattr(signal, sys.argv[1]))
print("ended by", signal.Signals(-process.wait()).name, flush=True)
PY
# program NAME: the pid of a process of host α's that runs this program.
program() { lonet ls --json α | jq -e --arg name "$1" '.hosts[].processes[] | select(.program == $name) | .pid'; }
for signal in SIGINT SIGTERM; do
    commanded 5 "$signal" python3 "$work/interrupt.py" $signal lonet run -H α --ready 80 -- sleep 1000
    until_true program sleep
    sleeper=$(program sleep)
    echo >&5
    until_true grep -q "ended by" "$work/$signal"
    is "$(<"$work/$signal")" "ended by $signal" "$signal ends the command"
    ended "$sleeper" || fail "the program goes on"
    echo "ok: and the program"
done

# The program ends well by the signal, and has processes of its own.
commanded 5 tidy python3 "$work/interrupt.py" SIGTERM lonet run -H α --ready 80 -- bash -c 'trap "exit 0" TERM; sleep 1000 & wait'
until_true program bash
parent=$(program bash)
until_true pgrep -x -P "$parent" sleep
sleeper=$(pgrep -x -P "$parent" sleep)
echo >&5
until_true grep -q "ended by" "$work/tidy"
is "$(<"$work/tidy")" "ended by SIGTERM" "a program that ends well by the signal"
until_true ended "$sleeper"

# A supervised program has the signal from the process that passes signals on, and once.
cat >"$work/count.py" <<'PY'
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
print("waits", os.getpid(), flush=True)
while signal.sigwait({signal.SIGTERM, signal.SIGUSR1}) == signal.SIGTERM:
    print("TERM", flush=True)
print("over", flush=True)
PY
commanded 5 once python3 "$work/interrupt.py" SIGTERM lonet run -H α --ready 80 --log "$work/counted" --supervise always -- python3 "$work/count.py"
until_true grep -q waits "$work/counted"
counter=$(sed -n 's/^waits //p' "$work/counted")
parent_of() { ps -o ppid= -p "$1" | tr -d ' '; }
passes=$(parent_of "$(parent_of "$counter")")
echo >&5
until_true grep -q TERM "$work/counted"
# SIGTERM is the fifteenth bit.
has_passed_all() { ! grep -qE '^(Sig|Shd)Pnd:.*[4567c-f]...$' "/proc/$passes/status"; }
until_true has_passed_all
kill -USR1 "$counter"
until_true grep -q over "$work/counted"
is "$(grep -c TERM "$work/counted")" 1 "a supervised program has the signal once"
until_true grep -q "ended by" "$work/once"

# Started in the background of a script, which ignores SIGINT.
mkfifo "$work/go"
start background lonet run -H α --ready 80 -- bash -c 'read -r _ <"$1"; exec python3 -m http.server 80' - "$work/go"
until_true program bash
kill -INT "$pid"
echo >"$work/go"
until_true grep -q "α is ready" "$work/background"
echo "ok: an ignored signal stays ignored"
lonet down --kill
