#!/bin/bash
# A supervised program has the streams, signals and terminal that it would have alone, and whoever has started it sees it end
# as it does; whoever kills one of the three processes kills the program.
. "$(dirname "$0")/scenario.bash"
need jq pgrep python3

run=(lonet run --host a --supervise always --)
code 7 "${run[@]}" sh -c 'exit 7'
echo "ok: its exit code"
code 127 "${run[@]}" "$work/nothing"
echo "ok: there is none"
dies() { python3 -c 'import subprocess, sys; print(subprocess.run(sys.argv[1:]).returncode)' "$@"; }
is "$(dies "${run[@]}" sh -c 'kill -USR2 $$')" -12 "the signal that ends it"
is "$(echo in | "${run[@]}" sh -c 'cat; echo err >&2' 2>&1)" $'in\nerr' "its standard streams"
is "$("${run[@]}" sh -c 'read -r line <&7; echo "$line"' 7<<<seven)" seven "a descriptor that it is started with"
# Whoever reads its output hears of the output's end while it still runs.
mkfifo "$work/end"
start runs bash -c '"$@" | (cat; echo over)' - "${run[@]}" sh -c 'echo out; exec >/dev/null; read -r _ <"$0"' "$work/end"
until_true grep -q over "$work/runs"
is "$(<"$work/runs")" $'out\nover' "nobody else has its output open"
echo >"$work/end"
wait "$pid"

# trapped LOG: runs what says so when it gets TERM, and then ends.
trapped() {
    start "$1" "${run[@]}" bash -c 'trap "echo told; exit 3" TERM; echo ready; while :; do read -rt 0.1 _ <>"$0" || :; done' "$work/end"
    until_true grep -q ready "$work/$1"
}
ended() { ! kill -0 "$1" 2>/dev/null; }
below() { pgrep -P "$1" || true; }
trapped passes
kill -TERM "$pid"
got=0 && wait "$pid" || got=$?
is "$got $(tail -n 1 "$work/passes")" "3 told" "a signal for what was started is the program's"

for which in user supervisor program; do
    trapped "$which"
    supervisor=$(below "$pid")
    program=$(below "$supervisor")
    case $which in user) kill -KILL "$pid" ;; supervisor) kill -KILL "$supervisor" ;; *) kill -KILL "$program" ;; esac
    got=0 && wait "$pid" || got=$?
    case $which in supervisor) want=125 ;; *) want=137 ;; esac
    is "$got" "$want" "the $which is killed: what was started ends"
    until_true ended "$program"
    until_true ended "$supervisor"
done

# Stopped and let go on, as by Ctrl-Z and fg: what was started stops, too.
trapped stops
program=$(below "$(below "$pid")")
state() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status"; }
is_in() { [ "$(state "$1")" = "$2" ]; }
kill -TSTP "$program"
until_true is_in "$pid" T
kill -CONT "$pid"
until_true is_in "$program" S
until_true is_in "$pid" S
kill -TERM "$pid"
got=0 && wait "$pid" || got=$?
is "$got" 3 "stopped and let go on, it hears of a signal"

# lonet kill means the program, and neither of the others.
# The supervisor of the one before may still be about to end.
nobody_is_left() { [ "$(lonet ls --json | jq ".hosts | length")" = 0 ]; }
until_true nobody_is_left
trapped killed
like "$(lonet kill --signal TERM a)" "1 process of a" "lonet kill sends it its signal once"
got=0 && wait "$pid" || got=$?
is "$got $(tail -n 1 "$work/killed")" "3 told" "and it ends as it does"

# A process that has ended but was not waited for is no program.
trapped stopped
supervisor=$(below "$pid")
program=$(below "$supervisor")
kill -STOP "$pid"
kill -KILL "$program"
until_true is_in "$supervisor" Z
lonet kill --signal CONT a >/dev/null
got=0 && wait "$pid" || got=$?
is "$got" 137 "lonet kill reaches what was started when the other two have ended"

# What it leaves behind is the host until it ends.
cat >"$work/left.py" <<'P'
import os, socket
if os.fork() == 0:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    s = socket.create_server(("", 80))
    s.accept()[0].sendall(b"welcome")
P
welcome
code 0 "${run[@]}" python3 "$work/left.py"
lonet wait --timeout 120 a:80
is "$(lonet run --host b -- python3 "$work/dial.py" a.lonet 80)" welcome "a daemon that it leaves behind is served on"
like "$(lonet run --host a --supervise always -- lonet run --host a -- uname -n)" '^a.lonet$' "lonet run of the same host, in a supervised program"
code 125 "${run[@]}" lonet run --host b -- true
like "$err" "supervised as one host" "lonet run of another one is refused there"
