#!/bin/bash
# A lonetd that is stopped keeps a call for 5 s at most, whatever it asks, also where its mailbox is full; what needs no answer
# does not wait for it: close, in a child of fork as well.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/calls.py" <<'END'
import os, signal, socket, sys, time
def took(work):
    begin = time.monotonic()
    said = work()
    return said, time.monotonic() - begin
to = (socket.gethostbyname("α.lonet"), 80)
made = [socket.create_connection(to) for _ in range(600)]
late = socket.socket()
lonetd = int(sys.argv[1])
os.kill(lonetd, signal.SIGSTOP)
signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
signal.signal(signal.SIGALRM, lambda *_: None)
try:
    # More than the mailbox has room for.
    _, closes = took(lambda: [s.close() for s in made[:560]])
    child = os.fork()
    if child == 0:
        _, time_taken = took(lambda: [s.close() for s in made[560:590]])
        os._exit(0 if time_taken < 3 else 1)
    _, status = os.waitpid(child, 0)
    errno, connect = took(lambda: late.connect_ex(to))
finally:
    os.kill(lonetd, signal.SIGCONT)
print(os.strerror(errno), "closes" if closes < 3 else closes, "child" if status == 0 else status,
      "connect" if connect < 7 else connect)
END
cat >"$work/server.py" <<'END'
import socket
s, all = socket.create_server(("", 80), backlog=1024), []
while True:
    all.append(s.accept())
END
start server lonet run --host α -- python3 "$work/server.py"
lonet wait --timeout 20 α:80
daemon=$(lonetd)
is "$(lonet run --host β -- python3 "$work/calls.py" "$daemon")" "Network is down closes child connect" \
    "connect fails in time, and closes do not wait"
is "$(lonet run --host β -- python3 -c '
import socket
print(socket.create_connection((socket.gethostbyname("α.lonet"), 80)).getsockname()[1])')" 1 \
    "lonetd that goes on has everything"
