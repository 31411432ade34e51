#!/bin/bash
# The network's directory is deleted under running programs: they go on, others come, and all can end.
. "$(dirname "$0")/scenario.bash"


cat >"$work/echo.py" <<'END'
import socket, threading
def serve(c):
    while data := c.recv(100):
        c.sendall(data)
s = socket.create_server(("", 80))
while True:
    threading.Thread(target=serve, args=s.accept()[:1], daemon=True).start()
END
cat >"$work/talk.py" <<'END'
# Says what comes on stdin to the server, one line at a time, on one connection and then on a new one.
import socket, sys
old = socket.create_connection(("alpha.lonet", 80))
def say(s, line):
    s.sendall(line.encode())
    print(s.recv(100).decode(), end="", flush=True)
for line in sys.stdin:
    say(old, line)
    try:
        say(socket.create_connection(("alpha.lonet", 80)), line)
    except OSError as e:
        print(e.strerror, flush=True)
END
cat >"$work/new.py" <<'END'
# An answer or ENETDOWN, and soon.
import errno, socket
try:
    s = socket.create_server(("", 81))
    c = socket.create_connection(s.getsockname())
    print(s.accept()[1] == c.getsockname())
except OSError as e:
    print(errno.errorcode[e.errno])
END
start server lonet run --host alpha -- python3 "$work/echo.py"
lonet wait --timeout 120 alpha:80
mkfifo "$work/in"
lonet run --host beta -- python3 "$work/talk.py" <"$work/in" >"$work/talk" 2>&1 &
talk=$!
started+=("$talk")
exec 9>"$work/in"
echo one >&9
until_true grep -q one "$work/talk"
pid_of_lonetd=$(lonetd)

rm -rf "$work/lonet/$LONET_NETWORK"
until_true test -S "$work/lonet/$LONET_NETWORK/control"
echo "ok: lonetd makes it again"
echo two >&9
until_true eval '[ "$(wc -l <"$work/talk")" -ge 4 ]'
is "$(<"$work/talk")" $'one\none\ntwo\ntwo' "connections go on, and new ones are made"
is "$(timeout 30 lonet run --host gamma -- python3 "$work/new.py")" True "a new program comes in"
is "$(lonetd)" "$pid_of_lonetd" "as the same lonetd serves"

kill -KILL "$pid_of_lonetd"
until_true ended "$pid_of_lonetd"
like "$(LD_PRELOAD=$library LONET_HOST=delta timeout 30 python3 "$work/new.py")" "^(True|ENETDOWN)$" \
    "with lonetd killed, too, the next call is answered"
echo three >&9
until_true grep -q three "$work/talk"
exec 9>&-
stop "${started[@]}"
until_true eval '[ "$(lonetd)" = "" ]'
echo "ok: all has ended"
