#!/bin/bash
# A dial to a listener of a running host, its accept and their closes ask lonetd nothing: a stopped one keeps nobody waiting,
# and their ports are the ones that they would have had. What needs lonetd asks it once, and fails.
. "$(dirname "$0")/scenario.bash"
need strace

cat >"$work/dial.py" <<'END'
import os, signal, socket, sys
to = (socket.gethostbyname("α.lonet"), 80)
known = [socket.create_connection(to) for _ in range(2)]
lonetd = int(sys.argv[1])
os.kill(lonetd, signal.SIGSTOP)
refused = socket.socket()
try:
    os.access("known ways", 0)
    more = [socket.create_connection(to) for _ in range(3)]
    print([s.getsockname()[1] for s in more], [s.recv(5) for s in more])
    more.pop(1).close()
    print(socket.create_connection(to).getsockname()[1])
    os.access("a way to nowhere", 0)
    print(os.strerror(refused.connect_ex((to[0], 81))))
    os.access("the end", 0)
finally:
    os.kill(lonetd, signal.SIGCONT)
print([s.getsockname()[1] for s in known], socket.create_connection(to).getsockname()[1])
END
cat >"$work/server.py" <<'END'
import socket
s = socket.create_server(("", 80), backlog=16)
while True:
    c, peer = s.accept()
    c.sendall(b"%05d" % peer[1])
    c.close()
END
start server lonet run --host α -- python3 "$work/server.py"
lonet wait --timeout 120 α:80
daemon=$(lonetd)
lonet run --host β -- strace -o "$work/trace" python3 "$work/dial.py" "$daemon" >"$work/said"
is "$(sed -n 1p "$work/said")" "[3, 4, 5] [b'00003', b'00004', b'00005']" "three connections under their names"
is "$(sed -n 2p "$work/said")" 4 "what was closed is free"
is "$(sed -n 3p "$work/said")" "Network is down" "what needs lonetd fails"
is "$(sed -n 4p "$work/said")" "[1, 2] 4" "and holds nothing when lonetd goes on"
asked() { sed -n "/$1/,/$2/p" "$work/trace" | grep -c SEQPACKET || true; }
is "$(asked "known ways" "a way to nowhere")" 0 "no question for what the table answers"
is "$(asked "a way to nowhere" "the end")" 1 "one for what it does not"
