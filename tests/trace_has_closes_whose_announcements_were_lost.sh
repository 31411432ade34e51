#!/bin/bash
# A stopped lonetd misses announcements of ended sockets, as the kernel keeps some thousands. When it goes on, it looks which
# connections have ended, and the trace has both closes of each. A socket that was reset has not ended while some process has it,
# although the kernel does not show it.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/dialer.py" <<'PY'
import errno, os, re, signal, socket, sys
# linux/netlink.h and linux/sock_diag.h; where an inet_diag_msg has its cookie, behind the header.
NETLINK_SOCK_DIAG, TCP_DESTROY, COOKIE, SO_COOKIE = 4, 0b101, slice(60, 68), 57
server = socket.create_server(("", 80))
# lonetd is asked for a name each time while it records.
to = (socket.gethostbyname("α.lonet"), 80)
def connection():
    dialer = socket.create_connection(to)
    return dialer, server.accept()[0]
def inodes(fds):
    return set(re.findall(r"socket:\[(\d+)\]", " ".join(os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds))))
def misses_some(inodes):
    lines = [line.split() for line in open("/proc/net/netlink")][1:]
    return any(line[-1] in inodes and int(line[-2]) > 0 for line in lines)
passed_on = socket.create_connection(("β.lonet", 80))
child = os.fork()
if child == 0:
    signal.pause()
passed_on.close()
print("passed on", flush=True)
sys.stdin.readline()
first, held = connection(), connection()
print("ready", flush=True)
lonetd = inodes(f"/proc/{sys.stdin.readline().strip()}/fd")
# Sockets without an address are announced to lonetd, too: until there is no room for more.
while not misses_some(lonetd):
    for _ in range(1000):
        socket.socket().close()
announced = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
announced.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
announced.bind((0, TCP_DESTROY))
def cookie_of(end):
    return end.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
def skip_earlier():
    """Reads the announcements from before, which the kernel makes later, on the processor on which a socket was closed."""
    while True:
        with socket.socket() as last:
            cookie = cookie_of(last)
        try:
            while announced.recv(1024)[COOKIE] != cookie:
                pass
            return
        except OSError as e:
            if e.errno != errno.ENOBUFS:
                raise
processors = os.sched_getaffinity(0)
for processor in processors:
    os.sched_setaffinity(0, {processor})
    skip_earlier()
os.sched_setaffinity(0, processors)
ends = [end for both in [first] + [connection() for _ in range(50)] for end in both]
left = {cookie_of(end) for end in ends}
for end in ends:
    end.close()
while left:
    left.discard(announced.recv(1024)[COOKIE])
print("done", flush=True)
sys.stdin.readline()
os.kill(child, signal.SIGKILL)
os.wait()
signal.pause()
PY
cat >"$work/peer.py" <<'PY'
import signal, socket
accepted = socket.create_server(("", 80)).accept()
signal.pause()
PY
code 0 lonet trace --start
start peer lonet run --host β -- python3 "$work/peer.py"
lonet wait --timeout 120 β:80
commanded 3 dialer lonet run --host α -- python3 "$work/dialer.py"
until_true grep -q "passed on" "$work/dialer"
code 0 lonet reset α β
echo >&3
until_true grep -q ready "$work/dialer"
lonet trace >/dev/null
daemon=$(lonetd)
stop_lonetd
echo "$daemon" >&3
until_true grep -q "done" "$work/dialer"
kill -CONT "$daemon"
# events KIND: their number.
events() { lonet trace --format jsonl | grep -c "\"event\":\"$1\"" || true; }
until_true eval '[ "$(events closed)" -ge 102 ]'
is "$(events dial)/$(events accepted)/$(events closed)/$(events lost)" 53/53/102/0 "both closes of each, and none of one that is open"
echo >&3
until_true eval '[ "$(events closed)" -ge 103 ]'
is "$(events closed)" 103 "nor of one that was reset, while a child has it"
stop "$pid"
until_true eval '[ "$(lonet trace | grep -c "closed .* by=death")" = 2 ]'
is "$(events closed)" 105 "none is there twice"
