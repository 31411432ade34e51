#!/bin/bash
# `lonet forward` lets programs outside lonet reach a host at a port of 127.0.0.1, also after the server has begun anew. It carries
# the end of each direction by itself, and resets.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import socket, struct, sys
s = socket.create_server(("", int(sys.argv[2]) if len(sys.argv) > 2 else 80))
while True:
    c = s.accept()[0]
    data = b"".join(iter(lambda: c.recv(65536), b""))
    if data == b"reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        c.sendall(sys.argv[1].encode() + data)
    c.close()
PY
cat >"$work/call.py" <<'PY'
import errno, socket, sys
data = sys.argv[2].encode() * int(sys.argv[3])
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    c.sendall(data)
    c.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: c.recv(65536), b""))
    print(answer.decode() if len(answer) < 100 else len(answer))
except OSError as e:
    # The reset may come before the data has been sent, or just behind it.
    if e.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
        raise
    print("reset")
PY
says() { until_true grep -q ' leads to ' "$work/$1" && sed -E 's/^127.0.0.1:([0-9]+) .*/\1/' "$work/$1"; }
start server lonet run -H α -- python3 "$work/server.py" first:
server=$pid
lonet wait --timeout 120 α:80
start forward lonet forward α:80 0
port=$(says forward)
is "$(<"$work/forward")" "127.0.0.1:$port leads to α:80; in a browser: http://α.localhost:$port/" "it says where"
is "$(python3 "$work/call.py" "$port" hello 1)" first:hello "a caller that ends its direction hears the answer"
is "$(python3 "$work/call.py" "$port" x 10000000)" 10000006 "many bytes"
is "$(python3 "$work/call.py" "$port" reset 1)" reset "a reset"
code 1 lonet forward α:80 "$port"
is "$err" "lonet: cannot listen on 127.0.0.1:$port: Address already in use (os error 98)" "a port that is taken"
code 1 lonet forward α:"$port"
is "$err" "lonet: nothing listens on α:$port; α listens on 80" "a port on which nothing listens"

stop "$server"
is "$(python3 "$work/call.py" "$port" hello 1)" reset "the server has ended"
like "$(<"$work/forward")" "lonet: nothing listens on α:80" "which is said"
start server lonet run -H α -- python3 "$work/server.py" second:
lonet wait --timeout 120 α:80
is "$(python3 "$work/call.py" "$port" hello 1)" second:hello "the next server"

# One that comes later, at a port of its number that is taken: it is $port's own forward that has it.
start waiting lonet forward --wait β:"$port"
waiting=$pid
start server lonet run -H β -- python3 "$work/server.py" third: "$port"
other=$(says waiting)
[ "$other" != "$port" ] || fail "two forwards at one port"
is "$(python3 "$work/call.py" "$other" hello 1)" third:hello "--wait waits for a server"
! ended "$waiting" || fail "the forward has ended"
