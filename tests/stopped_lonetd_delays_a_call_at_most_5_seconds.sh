#!/bin/bash
# A lonetd that is stopped keeps a call that needs it for 5 s at most, whatever it asks and however many times: also the first
# one of a process, which joins the network by it, of a child of fork and of a supervised program, and a send of several messages.
# What needs no answer does not wait for it: close, of listeners too, and in a child of fork as well.
. "$(dirname "$0")/scenario.bash"
need cc python3

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

# Each first call is in a child, which has not joined; all at once, as each takes its time.
cat >"$work/first.py" <<'END'
import errno, os, signal, socket, sys, time
ip, calls = sys.argv[1], {}
def first(call):
    calls[call.__name__] = call
    return call
def dial(s):
    s.connect((ip, 80))
@first
def connect():
    dial(socket.socket())
@first
def non_blocking_connect():
    s = socket.socket()
    s.setblocking(False)
    dial(s)
@first
def unbound_listen():
    socket.socket().listen()
bound = socket.socket()
bound.bind(("", 0))
@first
def inherited_listen():
    bound.listen()
waiting = socket.create_server(("", 0))
@first
def accept():
    waiting.accept()
queued = socket.socket()
queued.connect(waiting.getsockname())
@first
def name():
    socket.getaddrinfo("nobody-has-asked.lonet", 80)
signal.signal(signal.SIGALRM, signal.SIG_DFL)
print("ready", flush=True)
sys.stdin.readline()
children = {}
for which, call in calls.items():
    pid = os.fork()
    if pid == 0:
        begin = time.monotonic()
        try:
            call()
            said = "done"
        except OSError as e:
            said = errno.errorcode.get(e.errno, "unknown") if not isinstance(e, socket.gaierror) else "EAI_AGAIN"
        taken = time.monotonic() - begin
        os.write(1, f"{which} {said}{'' if taken < 8 else f' after {taken:.1f} s'}\n".encode())
        os._exit(0)
    children[pid] = which
for pid in children:
    os.waitpid(pid, 0)
print("all", flush=True)
END
cat >"$work/dial.py" <<'END'
import errno, socket, sys, time
print("ready", flush=True)
sys.stdin.readline()
begin = time.monotonic()
said = errno.errorcode.get(socket.socket().connect_ex((sys.argv[1], 80)))
taken = time.monotonic() - begin
print(said if taken < 8 else f"{said} after {taken:.1f} s", flush=True)
END
# The resolver of a program's own sends both queries at once.
cat >"$work/queries.c" <<'C'
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
int main(void)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char query[12] = { 0 };
	struct iovec data = { query, sizeof query };
	struct mmsghdr both[2] = { { { .msg_name = &server, .msg_namelen = sizeof server, .msg_iov = &data, .msg_iovlen = 1 } } };
	struct timespec begin, end;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	both[1] = both[0];
	puts("ready"), fflush(stdout), getchar();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	int sent = sendmmsg(fd, both, 2, 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	long taken = end.tv_sec - begin.tv_sec;
	printf(taken < 8 ? "returned\n" : "returned %d after %ld s\n", sent, taken);
	return 0;
}
C
mkdir "$work/program"
cc -D_GNU_SOURCE -o "$work/program/queries" "$work/queries.c"

ip=$(lonet addr --host α:80)
commanded 5 children lonet run --host γ -- python3 "$work/first.py" "$ip"
commanded 6 executed lonet run --host γ -- python3 "$work/dial.py" "$ip"
commanded 7 supervised lonet run --host δ --supervise always -- python3 "$work/dial.py" "$ip"
commanded 8 queries lonet run --host γ -- "$work/program/queries"
for log in children executed supervised queries; do until_true grep -q ready "$work/$log"; done
stop_lonetd
for n in 5 6 7 8; do eval "echo >&$n"; done
begin=$SECONDS
code 1 lonet faults
faults=$((SECONDS - begin))
until_true grep -q all "$work/children"
for log in executed supervised queries; do until_true eval '[ "$(wc -l <"$work/$log")" -gt 1 ]'; done
kill -CONT "$daemon"
exec 5>&- 6>&- 7>&- 8>&-
is "$(tail -n +2 "$work/children" | sort)" "accept ECONNABORTED
all
connect ENETDOWN
inherited_listen ENETDOWN
name EAI_AGAIN
non_blocking_connect ENETDOWN
unbound_listen ENETDOWN" "the first call of a child of fork waits for lonetd once"
is "$(tail -n 1 "$work/executed")" ENETDOWN "so does that of a program"
is "$(tail -n 1 "$work/supervised")" ENETDOWN "so does that of a supervised program"
is "$(tail -n 1 "$work/queries")" returned "so does a send of several messages"
[ "$faults" -lt 8 ] || fail "lonet faults took $faults s"
like "$err" "did not answer within 5 s" "so does a command"
