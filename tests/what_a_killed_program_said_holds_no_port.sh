#!/bin/bash
# A program is killed while what it said of a dial waits for lonetd: when lonetd hears of it the dial holds no port, and the
# next program's dial has the first one.
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
start_self_dialer
# dialer N: a program of host β's that dials when a line is written to descriptor N.
dialer() {
    mkfifo "$work/in$1"
    lonet run --host β -- python3 "$work/dial.py" <"$work/in$1" >"$work/out$1" 2>&1 &
    pids[$1]=$!
    started+=("$!")
    eval "exec $1>\"$work/in$1\""
    until_true grep -q ready "$work/out$1"
}
dialer 8
dialer 9
stop_lonetd
echo >&8
until_true waits wake
kill -KILL "${pids[8]}"
wait "${pids[8]}" 2>/dev/null || true
echo >&9
# Some time after it has said where it goes it asks.
until_true waits control
kill -CONT "$daemon"
until_true eval '[ "$(wc -l <"$work/out9")" = 2 ]'
is "$(tail -n 1 "$work/out9")" 1 "the first free port"
