#!/bin/bash
# A program that becomes a host has sockets from before: listeners, bound ones and connections stay the machine's, under
# the names that they have there, and go on; a fresh one is the host's when it binds or dials.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/before.py" <<'PY'
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
wildcard = socket.create_server(("0.0.0.0", 0))
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
fresh, dialer = socket.socket(), socket.socket()
peer = socket.create_server(("127.0.0.1", 0))
dialed = socket.create_connection(peer.getsockname())
accepted = peer.accept()[0]
all = [listener, wildcard, bound, fresh, dialer, dialed]
[os.set_inheritable(s.fileno(), True) for s in all]
names = [f"{s.getsockname()}" for s in all]
if os.fork() == 0:
    os.execvp("lonet", ["lonet", "run", "--host", "α", "--", sys.executable, sys.argv[1], *[str(s.fileno()) for s in all], *names])
for s in (listener, wildcard):
    port = s.getsockname()[1]
    s.close()
    fd = socket.create_connection(("127.0.0.1", port))
    said = fd.recv(1000).decode()
    print("accepted from outside:", said == f"{('127.0.0.1', port)} {fd.getsockname()}")
said = accepted.recv(1000).decode()
print("the connection goes on:", said == f"{dialed.getsockname()} {peer.getsockname()}")
dialed.close()
port = bound.getsockname()[1]
bound.close()
accepted.sendall(b"go")
print("listening at last:", accepted.recv(100) == b"listening" and socket.create_connection(("127.0.0.1", port)) and True)
accepted.sendall(b"go")
print("the host ends well:", os.wait()[1] == 0)
PY
cat >"$work/after.py" <<'PY'
import socket, sys
listener, wildcard, bound, fresh, dialer, dialed = [socket.socket(fileno=int(fd)) for fd in sys.argv[1:7]]
for s, name in zip((listener, wildcard, bound, fresh, dialer, dialed), sys.argv[7:]):
    assert f"{s.getsockname()}" == name, (s.getsockname(), name)
for s in (listener, wildcard):
    fd, caller = s.accept()
    assert fd.getpeername() == caller
    fd.sendall(f"{fd.getsockname()} {caller}".encode())
    fd.close()
dialed.sendall(f"{dialed.getsockname()} {dialed.getpeername()}".encode())
dialed.recv(2)
bound.listen()
dialed.sendall(b"listening")
fresh.bind(("0.0.0.0", 80))
fresh.listen()
dialer.connect(("127.0.0.1", 80))
accepted, caller = fresh.accept()
assert fresh.getsockname() == ("0.0.0.0", 80) and caller == dialer.getsockname() == ("127.0.0.1", 1)
own = socket.create_server(("0.0.0.0", 0))
assert own.getsockname()[1] == 2
dialed.recv(2)
PY
said=$(python3 "$work/before.py" "$work/after.py" 2>&1)
is "$said" "accepted from outside: True
accepted from outside: True
the connection goes on: True
listening at last: True
the host ends well: True" "sockets from before, and the host's own"
