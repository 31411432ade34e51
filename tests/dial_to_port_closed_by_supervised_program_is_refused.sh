#!/bin/bash
# A dial to a listener that a supervised program has closed is refused, though nobody has told of the close and lonetd has not
# seen it: it does not reach who listens on all addresses of the machine.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/close.py" <<'END'
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
c = s.accept()[0]
sys.stdin.readline()
s.close()
print("closed", flush=True)
sys.stdin.readline()
END
cat >"$work/machine.py" <<'END'
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
print("listens", flush=True)
while True:
    s.accept()[0].sendall(b"machine")
END
cat >"$work/dial.py" <<'END'
import socket, sys
to = (sys.argv[1], int(sys.argv[2]))
first = socket.create_connection(to)
print("ready", flush=True)
sys.stdin.readline()
try:
    print(socket.create_connection(to).recv(7, socket.MSG_WAITALL).decode(), flush=True)
except OSError as e:
    print(e.strerror, flush=True)
END

# One that nobody has, and that the kernel gives to nobody who dials.
port=$(python3 -c '
import random, socket
while True:
    try:
        port = random.randrange(20000, 30000)
        socket.create_server(("", port))
        break
    except OSError:
        pass
print(port)')

commanded 5 closes lonet run --host a --supervise always -- python3 "$work/close.py" "$port"
lonet wait --timeout 120 "a:$port"
commanded 6 dials lonet run --host b -- python3 "$work/dial.py" a.lonet "$port"
until_true grep -q ready "$work/dials"
daemon=$(lonetd)
stop_lonetd
echo >&5
until_true grep -q closed "$work/closes"
start machine python3 "$work/machine.py" "$port"
until_true grep -q listens "$work/machine"
echo >&6
until_true eval 'waits || grep -qv ready "$work/dials"'
kill -CONT "$daemon"
until_true grep -qv ready "$work/dials"
is "$(tail -n 1 "$work/dials")" "Connection refused" "a dial of the closed listener"
