#!/bin/bash
# `lonet reset α β`: who reads or waits at either end sees a reset, also who is blocked in recv, and on a connection that nobody
# has accepted; the ports are free at once, and what is dialed afterwards is made.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in α β γ; do node $host; done
tell β listen 80
connect α β
tell γ dial d β.lonet 80
tell β accept d
tell γ made d
tell α dial unaccepted β.lonet 80
tell α made unaccepted
code 0 lonet reset α β
is "$out" "reset 2 connections" "it says how many there were"
tell α wait c
is "$answer" ECONNRESET "the dialing end sees a reset"
tell β wait c
is "$answer" ECONNRESET "and the accepting one"
tell α wait unaccepted
is "$answer" ECONNRESET "also where nobody has accepted it"
is "$(lonet ls --json | jq -c '[.hosts[] | select(.name == "α").sockets[]]')" "[]" "the ports are free"
tell γ send d others
tell β wait d
is "$answer" others "other connections go on"
tell α dial again β.lonet 80
tell α made again
is "$answer" 0 "a dial afterwards is made"
code 0 rules
is "$out" "" "there is no rule"

# Across a cut, where no segment passes.
code 0 lonet cut β γ
code 0 lonet reset β γ
tell γ wait d
is "$answer" ECONNRESET "during a cut both ends are reset, too"
tell β wait d
is "$answer" ECONNRESET "the other one as well"
code 0 lonet heal

# Blocked in recv: on a connection, on one of which an end has sent all, on one that is cut, and on one that nobody has accepted.
cat >"$work/blocked.py" <<'END'
import errno, socket, sys
own, half, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if own == "accepting":
    listener = socket.create_server(("", port))
    s = listener.accept()[0]
else:
    s = socket.create_connection(("δ.lonet", port))
if own == half:
    s.shutdown(socket.SHUT_WR)
elif half in ("accepting", "dialing"):
    print(s.recv(1), flush=True)
    sys.stdin.readline()
print("reads", flush=True)
try:
    print(s.recv(1), flush=True)
except OSError as e:
    print(errno.errorcode[e.errno], flush=True)
END
is_blocked() { [ -s "$work/$1" ] && [ "$(ps -o stat= -p "$2" | head -c 1)" = S ]; }
port=81
for half in neither dialing accepting cut; do
    commanded 8 accepting lonet run --host δ -- python3 "$work/blocked.py" accepting $half $port
    accepting=$pid
    lonet wait δ:$port
    commanded 9 dialing lonet run --host ε -- python3 "$work/blocked.py" dialing $half $port
    dialing=$pid
    until_true is_blocked accepting "$accepting"
    until_true is_blocked dialing "$dialing"
    [ $half != cut ] || code 0 lonet cut ε δ
    code 0 lonet reset ε δ
    is "$out" "reset 1 connection" "how many are reset ($half)"
    # Who has seen the end of data does not read.
    [ $half != dialing ] || echo >&8
    [ $half != accepting ] || echo >&9
    for end in accepting dialing; do
        [[ $half = neither || $half = cut || $half = "$end" ]] || continue
        until_true eval '[ "$(wc -l <"$work/$end")" -gt 1 ]'
        is "$(tail -n 1 "$work/$end")" ECONNRESET "the $end end is blocked, and receives a reset"
    done
    until_true ended "$accepting"
    until_true ended "$dialing"
    [ $half != cut ] || code 0 lonet heal
    port=$((port + 1))
done
start idle lonet run --host δ -- python3 -c 'import signal, socket; s = socket.create_server(("", 80)); signal.pause()'
lonet wait δ:80
start dialing lonet run --host ε -- python3 "$work/blocked.py" dialing neither 80
until_true is_blocked dialing "$pid"
code 0 lonet reset ε δ
until_true grep -q E "$work/dialing"
is "$(tail -n 1 "$work/dialing")" ECONNRESET "so does one whose connection nobody has accepted"
