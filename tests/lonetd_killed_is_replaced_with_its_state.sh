#!/bin/bash
# lonetd is killed: connections go on, idle programs notice nothing, and the next question finds all as it was.
. "$(dirname "$0")/scenario.bash"

cat >"$work/echo.py" <<'END'
import socket, sys, threading
def serve(c):
    while data := c.recv(100):
        c.sendall(data)
s = socket.create_server(("", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=s.accept()[:1], daemon=True).start()
END
cat >"$work/talk.py" <<'END'
# Says what comes on stdin to the server, one line at a time, on one connection.
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    s.sendall(line.encode())
    sys.stdout.write(s.recv(100).decode())
    sys.stdout.flush()
END
start beta lonet run --host β -- python3 "$work/echo.py" 81
lonet wait --timeout 120 β:81
start alpha lonet run --host α -- python3 "$work/echo.py" 80
lonet wait --timeout 120 α:80
mkfifo "$work/in"
lonet run --host γ -- python3 "$work/talk.py" α.lonet 80 <"$work/in" >"$work/talk" &
started+=($!)
exec 9>"$work/in"
echo one >&9
until_true grep -q one "$work/talk"
before=$(lonet ls)
like "$before" "γ:1 +connected +α:80" "a connection from γ:1 to α:80"

kill_lonetd
is "$(lonetd)" "" "nobody serves the network"
echo two >&9
until_true grep -q two "$work/talk"
is "$(lonetd)" "" "an open connection carries bytes without lonetd"
is "$(lonet ls)" "$before" "the next question finds hosts, indexes, ports and sockets as they were"
[ -n "$(lonetd)" ] || fail "who answered?"

kill_lonetd
is "$(echo three | lonet run --host δ -- python3 "$work/talk.py" α.lonet 80)" three "a new program reaches an old listener"
is "$(lonet ls)" "$before" "and leaves nothing"

# A listener dies while nobody serves the network: the next lonetd sees it.
kill_lonetd
pid_of_beta=${started[0]}
kill -KILL "$pid_of_beta"
until_true ended "$pid_of_beta"
code 1 lonet addr β:81
is "$err" "lonet: nothing listens on β:81; no host \"β\" is up in network $LONET_NETWORK; up are: α, γ" "what died meanwhile is not taken up"
like "$(lonet run --host ε -- python3 "$work/talk.py" β.lonet 81 </dev/null 2>&1 || true)" "No route to host" "its host is down"
start beta lonet run --host β -- python3 "$work/echo.py" 81
lonet wait --timeout 120 β:81
like "$(lonet ls)" "β  127\.[0-9]+\.0\.1" "a host that comes back has its index"

# Many callers at once.
kill_lonetd
for i in {1..12}; do
    lonet run --host ζ -- python3 -c '
import socket, sys
s = socket.create_server(("", 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()' <"$work/in" >"$work/caller.$i" &
    started+=($!)
done
for i in {1..12}; do until_true [ -s "$work/caller.$i" ]; done
is "$(cat "$work"/caller.* | sort -n | tr '\n' ' ')" "1 2 3 4 5 6 7 8 9 10 11 12 " "of many that ask at once each gets a port of its own"
is "$(lonetd | wc -l)" 1 "and one lonetd serves them"
echo four >&9
until_true grep -q four "$work/talk"
exec 9>&-
