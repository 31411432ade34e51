#!/bin/bash
# A program with a resolver of its own gets hosts of the network and all other names from one socket: the others'
# questions go to the machine's name server, whose answers come back, and so does the news that it is down.
. "$(dirname "$0")/scenario.bash"
if ! unshare --mount true 2>/dev/null; then
    echo "not tested: a resolv.conf of the test's own needs a mount namespace"
    exit 0
fi

# The machine's name server, at an address that no other run of this has at the same time.
server=127.0.$(($$ / 250 % 250 + 1)).$(($$ % 250 + 1))
cat >"$work/server.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("serving", flush=True)
while True:
    query, who = s.recvfrom(4096)
    print(who[0], query[12:].split(b"\0")[0], flush=True)
    s.sendto(query[:2] + b"\x81\x80" + query[4:6] + b"\0\1" + query[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4", who)
END
cat >"$work/client.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((sys.argv[1], 53))
for name in sys.argv[2:]:
    labels = b"".join(bytes([len(l)]) + l for l in name.encode().split(b"."))
    s.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1")
for name in sys.argv[2:]:
    answer, who = s.recvfrom(4096)
    name = "".join(chr(b) if b > 32 else "." for b in answer[13:].split(b"\0")[0])
    print(who[0], name, "code", answer[3] & 15, ".".join(map(str, answer[-4:])))
END
echo "nameserver $server" >"$work/resolv.conf"
here() { unshare --mount sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$work/resolv.conf" "$@"; }

start server python3 "$work/server.py" "$server"
until_true grep -q serving "$work/server"
answers=$(here lonet run --host α -- python3 "$work/client.py" "$server" example b.lonet example.org | sort)
like "$answers" "$server"' b.lonet code 0 127\.[0-9]+\.0\.2' "a host is answered by lonet"
like "$answers" "$server"' example code 0 1\.2\.3\.4' "another name by the server"
like "$answers" "$server"' example.org code 0 1\.2\.3\.4' "and yet another"
is "$(grep -c example "$work/server")" 2 "the server was asked twice"
is "$(grep -c lonet "$work/server")" 0 "and not about hosts"
like "$(<"$work/server")" '127\.0\.0\.1 ' "by the machine"

stop "$pid"
answers=$(here lonet run --host α -- python3 "$work/client.py" "$server" example)
like "$answers" "$server"' example code 2' "a server that is down is said to fail, at once"

# A name server on the machine's loopback, to which questions come over TCP, too: for what is too long for UDP. In a network
# namespace, as port 53 may be in use.
cat >"$work/tcp.py" <<'END'
import fcntl, os, socket, struct, sys
# lo up
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x49))
server, another = [socket.create_server(("127.0.0.1", port)) for port in (53, 54)]
pid = os.fork()
if pid == 0:
    client = "import socket; s = socket.create_connection(('127.0.0.1', 53)); print('over TCP:', s.recv(9).decode(), s.getpeername())"
    other = "import socket; print('another service:', socket.socket().connect_ex(('127.0.0.1', 54)))"
    for code in (client, other):
        if os.spawnlp(os.P_WAIT, "lonet", "lonet", "run", "-n", "inner", "--host", "α", "--", sys.executable, "-c", code):
            os._exit(1)
    os._exit(os.spawnlp(os.P_WAIT, "lonet", "lonet", "down", "-n", "inner"))
server.accept()[0].sendall(b"an answer")
os._exit(os.wait()[1] != 0)
END
echo "nameserver 127.0.0.1" >"$work/resolv.conf"
is "$(here unshare --net python3 "$work/tcp.py")" \
    $'over TCP: an answer (\'127.0.0.1\', 53)\nanother service: 111' "a server on the machine's loopback is reached over TCP"
