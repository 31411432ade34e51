#!/bin/bash
# A lonetd that is stopped keeps a call that needs it for 5 s at most, whatever it asks; what needs no answer does not wait for
# it: close, of listeners too, and in a child of fork as well.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/calls.py" <<'END'
import os, signal, socket, sys, time
def took(work):
    begin = time.monotonic()
    said = work()
    return said, time.monotonic() - begin
to = (socket.gethostbyname("α.lonet"), 80)
made = [socket.create_connection(to) for _ in range(300)] + [socket.create_server(("", 0)) for _ in range(300)]
late, server = socket.socket(), socket.socket()
lonetd = int(sys.argv[1])
os.kill(lonetd, signal.SIGSTOP)
signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
signal.signal(signal.SIGALRM, lambda *_: None)
def errno_of(call):
    try:
        call()
        return 0
    except OSError as e:
        return e.errno
try:
    _, closes = took(lambda: [s.close() for s in made[:590:2]])
    child = os.fork()
    if child == 0:
        _, time_taken = took(lambda: [s.close() for s in made[1::2]])
        os._exit(0 if time_taken < 3 else 1)
    _, status = os.waitpid(child, 0)
    errno, connect = took(lambda: late.connect_ex((to[0], 81)))
    bound, bind = took(lambda: errno_of(lambda: server.bind(("", 90))))
finally:
    os.kill(lonetd, signal.SIGCONT)
print(os.strerror(errno), "and", os.strerror(bound), "closes" if closes < 3 else closes, "child" if status == 0 else status,
      "connect" if connect < 7 else connect, "bind" if bind < 7 else bind)
END
cat >"$work/server.py" <<'END'
import socket
s, all = socket.create_server(("", 80), backlog=1024), []
while True:
    all.append(s.accept())
END
start server lonet run --host α -- python3 "$work/server.py"
lonet wait --timeout 120 α:80
daemon=$(lonetd)
is "$(lonet run --host β -- python3 "$work/calls.py" "$daemon")" \
    "Network is down and Network is down closes child connect bind" "connect and bind fail in time, and closes do not wait"
is "$(lonet run --host β -- python3 -c '
import socket
print(socket.create_connection((socket.gethostbyname("α.lonet"), 80)).getsockname()[1])')" 1 \
    "lonetd that goes on has everything"
