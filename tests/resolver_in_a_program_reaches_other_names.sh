#!/bin/bash
# A program with a resolver of its own gets hosts of the network and all other names from one socket: the others'
# questions go to the machine's name server, whose answers come back, and so does the news that it is down: over UDP and TCP.
. "$(dirname "$0")/scenario.bash"
if ! unshare --mount true 2>/dev/null; then
    echo "not tested: a resolv.conf of the test's own needs a mount namespace"
    exit 0
fi

# The machine's name server, at an address that no other run of this has at the same time.
server=127.0.$(($$ / 250 % 250 + 1)).$(($$ % 250 + 1))
cat >"$work/server.py" <<'END'
import socket, struct, sys, threading
def answer(query, who):
    print(who[0], query[12:].split(b"\0")[0], flush=True)
    return query[:2] + b"\x81\x80" + query[4:6] + b"\0\1" + query[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
def over_tcp(listener):
    while True:
        c, who = listener.accept()
        while length := c.recv(2, socket.MSG_WAITALL):
            reply = answer(c.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL), who)
            c.sendall(struct.pack("!H", len(reply)) + reply)
        c.close()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
threading.Thread(target=over_tcp, args=[socket.create_server((sys.argv[1], 53))], daemon=True).start()
print("serving", flush=True)
while True:
    query, who = s.recvfrom(4096)
    s.sendto(answer(query, who), who)
END
cat >"$work/client.py" <<'END'
import socket, struct, sys
is_tcp = sys.argv[1] == "tcp"
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
s.settimeout(60)
s.connect((sys.argv[2], 53))
names = sys.argv[3:]
queries = []
for i, name in enumerate(names):
    labels = b"".join(bytes([len(l)]) + l for l in name.encode().split(b"."))
    queries.append(struct.pack("!H", i) + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1")
if is_tcp:
    # In two parts, neither of which ends where a query does.
    stream = b"".join(struct.pack("!H", len(q)) + q for q in queries)
    s.sendall(stream[:3])
    s.sendall(stream[3:])
else:
    for query in queries:
        s.send(query)
for name in names:
    if is_tcp:
        answer = s.recv(struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
        who = s.getpeername()
    else:
        answer, who = s.recvfrom(4096)
    name = "".join(chr(b) if b > 32 else "." for b in answer[13:].split(b"\0")[0])
    print(who[0], name, "code", answer[3] & 15, ".".join(map(str, answer[-4:])))
END
echo "nameserver $server" >"$work/resolv.conf"
here() { unshare --mount sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$work/resolv.conf" "$@"; }

start server python3 "$work/server.py" "$server"
until_true grep -q serving "$work/server"
for how in auto always; do
    for protocol in udp tcp; do
        asked=$(grep -c example "$work/server") || true
        answers=$(here lonet run --host α --supervise $how -- python3 "$work/client.py" $protocol "$server" example b.lonet example.org | sort)
        like "$answers" "$server"' b.lonet code 0 127\.[0-9]+\.0\.2' "$protocol, supervised: $how: a host is answered by lonet"
        like "$answers" "$server"' example code 0 1\.2\.3\.4' "another name by the server"
        like "$answers" "$server"' example.org code 0 1\.2\.3\.4' "and yet another"
        is "$(($(grep -c example "$work/server") - asked))" 2 "the server was asked twice"
    done
done
is "$(grep -c lonet "$work/server")" 0 "and not about hosts"
like "$(<"$work/server")" '127\.0\.0\.1 ' "by the machine"

stop "$pid"
for protocol in udp tcp; do
    answers=$(here lonet run --host α -- python3 "$work/client.py" $protocol "$server" example)
    like "$answers" "$server"' example code 2' "$protocol: a server that is down is said to fail, at once"
done

# A reply of many messages, which the program reads late, behind the end of its queries; and a server that closes too early.
cat >"$work/transfers.py" <<'END'
import socket, struct, sys
listener = socket.create_server((sys.argv[1], 53))
print("serving", flush=True)
for messages in (60, 1):
    c = listener.accept()[0]
    query = c.recv(struct.unpack("!H", c.recv(2, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
    for _ in range(messages):
        c.sendall(struct.pack("!H", 50000) + query[:2] + bytes(49998))
    c.close()
END
cat >"$work/transfer.py" <<'END'
import socket, struct, sys
query = struct.pack("!H", 7) + b"\1\0\0\1\0\0\0\0\0\0\7example\0\0\xfc\0\1"
s = socket.create_connection((sys.argv[1], 53))
s.sendall(struct.pack("!H", len(query)) + query)
if sys.argv[2] == "60":
    s.shutdown(socket.SHUT_WR)
sys.stdin.readline()
got = 0
while part := s.recv(1 << 16):
    got += len(part)
print("got", got)
END
start transfers python3 "$work/transfers.py" "$server"
until_true grep -q serving "$work/transfers"
for messages in 60 1; do
    commanded 7 "transfer$messages" here lonet run --host α -- python3 "$work/transfer.py" "$server" "$messages"
    # The server has sent all that there was room for, and lonetd has stopped to read.
    until_true eval '[ -n "$(ss -Htn state all src "$server:53")" ] || [ -s "$work/transfer'"$messages"'" ] || ! kill -0 "$pid"'
    echo >&7
    until_true grep -q got "$work/transfer$messages"
    is "$(<"$work/transfer$messages")" "got $((messages * 50002))" "all $messages messages, and then the end"
done

# What is no query gets no answer, and keeps nobody waiting.
cat >"$work/noise.py" <<'END'
import socket, sys
s = socket.create_connection((sys.argv[1], 53))
try:
    s.sendall(bytes(1 << 16))
    print("closed", s.recv(1))
except (ConnectionResetError, BrokenPipeError):
    print("closed")
END
like "$(here lonet run --host α -- python3 "$work/noise.py" "$server")" "^closed" "what is no query is cut off"

# A name server on the machine's loopback, which is the host's own if it has one there. In a network namespace, as port 53 may
# be in use.
cat >"$work/tcp.py" <<'END'
import fcntl, socket, struct, subprocess, sys
# lo up
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x49))
another = socket.create_server(("127.0.0.1", 54))
server = subprocess.Popen([sys.executable, sys.argv[1], "127.0.0.1"], stdout=subprocess.PIPE, text=True)
server.stdout.readline()
own = "import socket; s = socket.create_server(('127.0.0.1', 53)); c = socket.create_connection(('127.0.0.1', 53)); s.accept(); print('its own')"
other = "import socket; print('another service:', socket.socket().connect_ex(('127.0.0.1', 54)))"
code = 0
for program in ([sys.argv[2], "tcp", "127.0.0.1", "example", "b.lonet"], ["-c", own], ["-c", other]):
    run = ["lonet", "run", "-n", "inner", "--host", "α", "--", sys.executable, *program]
    code = code or subprocess.run(run).returncode
server.kill()
sys.exit(code or subprocess.run(["lonet", "down", "-n", "inner"]).returncode)
END
echo "nameserver 127.0.0.1" >"$work/resolv.conf"
answers=$(here unshare --net python3 "$work/tcp.py" "$work/server.py" "$work/client.py")
like "$answers" '127.0.0.1 example code 0 1\.2\.3\.4' "a server on the machine's loopback is asked over TCP"
like "$answers" '127.0.0.1 b.lonet code 0 127\.[0-9]+\.0\.2' "and lonet in its place"
like "$answers" "its own
another service: 111" "the host's own server is its own, and no other service is the machine's"
