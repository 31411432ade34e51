#!/bin/bash
# A program is killed while what it said of a dial waits for lonetd, and nobody has waited for it: there is still a process of
# that pid when lonetd hears of the dial, which holds no port all the same, and the next program's dial has the first one.
. "$(dirname "$0")/scenario.bash"
need ss

cat >"$work/dial.py" <<'END'
import os, socket, sys
to = (socket.gethostbyname("α.lonet"), 80)
socket.create_connection(to).close()
print("ready", flush=True)
sys.stdin.readline()
print(socket.create_connection(to).getsockname()[1], flush=True)
END
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
# dialer N: a program of host β's that dials when a line is written to descriptor N.
dialer() {
    mkfifo "$work/in$1"
    python3 "$work/parent.py" lonet run --host β -- python3 "$work/dial.py" <"$work/in$1" >"$work/out$1" 2>&1 &
    started+=("$!")
    eval "exec $1>\"$work/in$1\""
    until_true grep -q ready "$work/out$1"
}
dialer 8
dialer 9
stop_lonetd
echo >&8
until_true waits wake
kill -KILL "$(awk '$1 == "child" { print $2 }' "$work/out8")"
until_true grep -q ended "$work/out8"
echo >&9
# Some time after it has said where it goes it asks.
until_true waits control
kill -CONT "$daemon"
until_true eval '[ "$(wc -l <"$work/out9")" -ge 3 ]'
is "$(sed -n 3p "$work/out9")" 1 "the first free port"
