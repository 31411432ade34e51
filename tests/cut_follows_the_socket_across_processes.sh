#!/bin/bash
# A connection is cut and healed wherever it is held: in a child that has inherited it when its parent has closed it, in a
# process that was sent it in a message and is no member of the network, and in the program that a process executes.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node β
tell β listen 80
cat >"$work/holders.py" <<'PY'
import os, socket, sys
s = socket.create_connection(("β.lonet", 80))
how = sys.argv[1]
if how == "fork":
    if os.fork() == 0:
        print(sys.stdin.readline(), end="", flush=True)
        s.send(b"from-a-child")
        sys.stdin.readline()
        os._exit(0)
elif how == "message":
    u = socket.socket(socket.AF_UNIX)
    u.connect(sys.argv[2])
    socket.send_fds(u, [b"x"], [s.fileno()])
elif how == "exec":
    s.set_inheritable(True)
    os.execvp("python3", ["python3", "-c", f"""
import socket, sys
s = socket.socket(fileno={s.fileno()})
print("ready", flush=True)
sys.stdin.readline()
s.send(b"after-exec")
sys.stdin.readline()
"""])
s.close()
print("ready", flush=True)
sys.stdin.readline() if how == "message" else os.wait()
PY
cat >"$work/taker.py" <<'PY'
import socket, sys
u = socket.socket(socket.AF_UNIX)
u.bind(sys.argv[1])
u.listen()
print("listens", flush=True)
c = u.accept()[0]
s = socket.socket(fileno=socket.recv_fds(c, 1, 1)[1][0])
print("taken", flush=True)
sys.stdin.readline()
s.send(b"from-elsewhere")
sys.stdin.readline()
PY
# cut_while LOG N TEXT: what the process at descriptor N sends when told is TEXT, and waits for heal.
cut_while() {
    tell β accept c
    code 0 lonet cut α β
    is "$out" "cut 1 connection" "$1: it is found"
    is "$(lonet faults --json | jq -c '[.connections.both, .unreached]')" '[1,[]]' "$1: at both ends"
    echo >&"$2"
    tell β send c x
    tell β lost c
    tell β now c
    is "$answer" nothing "$1: nothing arrives"
    code 0 lonet heal
    tell β wait c
    is "$answer" "$3" "$1: after heal it does"
    echo >&"$2"
}
commanded 10 taker python3 "$work/taker.py" "$work/socket"
until_true grep -q listens "$work/taker"
commanded 11 message lonet run --host α -- python3 "$work/holders.py" message "$work/socket"
until_true grep -q ready "$work/message"
until_true grep -q taken "$work/taker"
cut_while "sent in a message" 10 from-elsewhere
echo >&11

commanded 12 exec lonet run --host α -- python3 "$work/holders.py" exec
until_true grep -q ready "$work/exec"
cut_while "after exec" 12 after-exec

commanded 13 fork lonet run --host α -- python3 "$work/holders.py" fork
until_true grep -q ready "$work/fork"
cut_while "in a child" 13 from-a-child
