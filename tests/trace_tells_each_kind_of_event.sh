#!/bin/bash
# What happens to connections is in the trace, whoever does it: kills, resets, faults, dials that are made later, descriptors
# that are copies, supervised programs, programs outside.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/server.py" <<'PY'
import os, socket, struct, sys
s = socket.create_server(("", 80))
held = []
while True:
    c, _ = s.accept()
    what = c.recv(5, socket.MSG_WAITALL)
    if what == b"fork.":
        if os.fork() == 0:
            c.recv(1)
            c.sendall(b"child")
            os._exit(0)
        c.close()
    elif what == b"reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    elif what == b"copy.":
        d = os.dup(c.fileno())
        c.close()
        held.append(d)
    else:
        c.sendall(b"hold.")
        held.append(c)
PY
cat >"$work/dial.py" <<'PY'
import socket, sys, time
c = socket.create_connection(("α.lonet", 80))
c.sendall(sys.argv[1].encode())
if sys.argv[1] == "hold.":
    c.recv(5, socket.MSG_WAITALL)
    print("held", flush=True)
    sys.stdin.read()
elif sys.argv[1] == "fork.":
    c.sendall(b"x")
    assert c.recv(5, socket.MSG_WAITALL) == b"child"
    assert c.recv(1) == b""
else:
    try:
        assert c.recv(1) == b"" and False
    except ConnectionResetError:
        pass
c.close()
PY
words() { sed -E 's/^[0-9:.]+ //; s/ [^ ]*\([0-9]+\)//'; }
trace() { lonet trace | words; }
happened() { trace | grep -Eq -- "$1"; }
# WHAT PATTERN: waits for an event.
sees() {
    until_true happened "$2"
    echo "ok: $1"
}

code 0 lonet trace --start
start server lonet run --host α -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 α:80

commanded 6 held lonet run --host β -- python3 "$work/dial.py" hold.
held=$pid
until_true grep -q held "$work/held"
kill -KILL "$held"
wait "$held" 2>/dev/null || true
# The kernel announces it when the server has closed, too.
sees "a killed program's close" '^β closed β:1 → α:80 by=death sent=5 received=5$'
sees "and how it ended" '^β ended signal=SIGKILL$'

code 0 lonet run --host γ -- python3 "$work/dial.py" fork.
sees "what a child has is closed by the child's end" '^α closed γ:1 → α:80 by=[a-z]+ sent=5'
is "$(trace | grep -c '^α closed γ:1')" 1 "and not when its parent closes the copy that it has"

code 0 lonet run --host δ -- python3 "$work/dial.py" reset
sees "a reset, at the end that meets it" '^δ reset δ:1 → α:80 error=ECONNRESET$'
sees "which is closed then" '^δ closed δ:1 → α:80 by=program sent=5 received=0$'
is "$(trace | grep -c '^[αβγ] reset')" 0 "and no connection that was ended by both is one"

python3 - "$(lonet addr α:80)" <<'PY'
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
c = socket.create_connection((host, int(port)))
c.sendall(b"hold.")
assert c.recv(5, socket.MSG_WAITALL) == b"hold."
PY
sees "a program outside the network" '^α accepted 127\.[0-9.]+:[0-9]+ → α:80$'

if lonet check "$(command -v python3)" >/dev/null; then
    code 0 lonet run --supervise always --host ε -- python3 "$work/dial.py" reset
    sees "a supervised program's dial" '^ε dial ε:1 → α:80$'
    sees "and its close" '^ε closed ε:1 → α:80 '
fi

cat >"$work/late.py" <<'PY'
import select, socket, sys
to = (socket.gethostbyname("α.lonet"), 80)
print("ready", flush=True)
sys.stdin.readline()
s = socket.socket()
s.setblocking(False)
s.connect_ex(to)
print("dialed", flush=True)
select.select([], [s], [])
print("made", s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True)
sys.stdin.read()
PY
commanded 5 late lonet run --host η -- python3 "$work/late.py"
until_true grep -q ready "$work/late"
code 0 lonet cut η α
echo >&5
until_true grep -q dialed "$work/late"
sees "a fault that is set" '^- fault_set cut α η$'
sees "a dial that meets it" '^η fault_hit cut α η$'
is "$(trace | grep -c '^η connected')" 0 "is not made"
code 0 lonet heal
until_true grep -q made "$work/late"
sees "until it is healed" '^η connected η:1 → α:80$'
sees "which is an event, too" '^- fault_healed cut α η$'
code 0 lonet cut --for 0.1s 'η>α'
sees "a cut with a time limit has the same words" "^- fault_set cut 'η>α'\$"
sees "when it ends by itself" "^- fault_healed cut 'η>α'\$"
code 0 lonet refuse η α:80
code 1 lonet run --host η -- python3 "$work/dial.py" hold.
sees "a refused dial meets its rule" '^η fault_hit refuse η α:80$'

kill "$server"
wait "$server" 2>/dev/null || true
sees "a listener that ends" '^α unlistened α:80$'
is "$(trace | grep -c ' lost')" 0 "no event was lost"
