#!/bin/bash
# Whatever descriptors are sent to lonetd, by members or by others, it goes on: also where to close one takes an hour.
. "$(dirname "$0")/scenario.bash"
need /usr/bin/python3

cat >"$work/lend.py" <<'END'
# lend.py SOCKET UID more|once: as this user, sends lonetd descriptors that nobody wants to have.
# Says whether it is refused what makes no sense, and when all is sent; more: also behind what lonetd reads.
import os, socket, struct, sys
sys.path.insert(0, os.environ["MESSAGES"])
import messages
if int(sys.argv[2]) != os.getuid():
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))

def connection():
    return messages.connect(sys.argv[1].replace("@", "\0"))

with connection() as s:
    s.send(messages.request(65535, messages.LIST))
    version = messages.version_of(s.recv(1024))

def lend():
    return messages.request(version, messages.LEND, bytes(8) + socket.inet_aton("127.0.0.1") + struct.pack("<H", 9) + b"\1")

def lingering():
    """A connection whose close waits for an hour: its peer reads nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    dials = socket.create_connection(server.getsockname())
    dials.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    peer = server.accept()[0]
    peers.append(peer)
    dials.setblocking(False)
    try:
        while True:
            dials.send(bytes(1 << 20))
    except BlockingIOError:
        pass
    dials.setblocking(True)
    return dials

def give_away(s, message, many=1):
    """The last descriptors of such connections go with the message."""
    lent = [lingering() for _ in range(many)]
    socket.send_fds(s, [message], [one.fileno() for one in lent])
    for one in lent:
        os.close(one.detach())

unix, null = socket.socket(socket.AF_UNIX), os.open("/dev/null", os.O_RDONLY)
for fd in (unix.fileno(), null):
    with connection() as s:
        socket.send_fds(s, [lend()], [fd])
        reply = s.recv(1024)
        print("refused" if messages.is_refusal(reply) or reply[11] == messages.ERROR else reply, flush=True)
sys.stdin.readline()
peers, asked = [], []
listed = messages.request(version, messages.LIST)
for message, many in ((lend(), 1), (listed, 1), (listed, 2), (b"", 1), (b"nothing that is understood", 1)) * 10:
    asked.append(connection())
    give_away(asked[-1], message, many)
    if sys.argv[3] == "more":
        asked[-1].send(b"")
        give_away(asked[-1], b"what nobody reads")
print("sent", flush=True)
sys.stdin.readline()
END

welcome
export MESSAGES=$tests/chaos
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
name=@$(abstract_name "$(lonetd)")
daemon=$(lonetd)
# lent_by N UID more|once WHO: lonetd is stopped while they come, so that it finds all of them at once.
lent_by() {
    commanded "$1" "lend$1" /usr/bin/python3 "$work/lend.py" "$name" "$2" "$3"
    until_true eval '[ "$(grep -c refused "$work/lend'"$1"'")" = 2 ]'
    echo "ok: $4: what is no TCP socket is refused"
    stop_lonetd
    echo >&"$1"
    until_true grep -q sent "$work/lend$1"
    kill -CONT "$daemon"
    for n in 1 2 3; do
        is "$(timeout 20 lonet run --host "β$1$n" -- python3 "$work/dial.py" α.lonet 80)" welcome "$4: a new host dials, $n"
    done
    eval "exec $1>&-"
}
lent_by 7 "$(id -u)" once "a member"
[ "$(id -u)" != 0 ] || lent_by 8 65534 more "another user"
