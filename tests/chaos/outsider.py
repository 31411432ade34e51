"""A process of another user at a door of the network, as `outsiders.py` starts it.

    outsider.py DOOR SEED DOORS

DOORS is a file, kept up to date, that says where the doors are: the network's name, directory and block, the names of
lonetd's control sockets, the version of their protocol, and a directory of the outsiders' own. It goes on at a bounded
rate until stdin ends, and then says in a line of JSON how often it did what. A line before that is a fault: it was
served, or it got at something.
"""

import collections
import ctypes
import encodings.idna  # noqa: F401  what connect needs of Python, which an outsider may not be able to read later
import errno
import json
import mmap
import os
import random
import select
import socket
import struct
import sys
import time

import messages

UID = 65533
PER_SECOND = 40
# Connections, listeners and files that are kept at once.
MOST_KEPT = 40
STACK_PORTS = [7373, 17373, 27373, 5373]
PR_SET_DUMPABLE = 4

door, chance, where = sys.argv[1], random.Random(sys.argv[2]), sys.argv[3]
counts = collections.Counter()
doors = {}


def fault(what, **more):
    print(json.dumps({"outsider": door, "fault": what, **more}), flush=True)


def look_for_doors():
    global doors
    with open(where) as f:
        doors = json.load(f)


class Kept:
    """Connections that may be answered: `judge` takes what comes, bytes and whether descriptors came."""

    def __init__(self, judge):
        self.judge, self.all = judge, collections.deque()

    def add(self, s, about):
        s.setblocking(False)
        self.all.append((s, about))
        while len(self.all) > MOST_KEPT:
            self.all.popleft()[0].close()

    def look(self):
        for one in list(self.all):
            s, about = one
            try:
                got, rights, _, _ = socket.recv_fds(s, 4096, 4)
            except BlockingIOError:
                continue
            except OSError:
                got, rights = b"", []
            if got or rights:
                counts["replies"] += 1
                self.judge(about, got, rights)
            for right in rights:
                os.close(right)
            if not got:
                self.all.remove(one)
                s.close()


# ---------------------------------------------------------------------------------------------- the control socket


def judge_control(about, got, rights):
    if rights or not messages.is_refusal(got):
        fault("lonetd answered", to=about, reply=repr(got), descriptors=len(rights))


control = Kept(judge_control)


def requests():
    """What a member might send, from a process that has no key or guesses one."""
    version, key = doors["version"], chance.choice([bytes(16), chance.randbytes(16)])
    host = chance.choice([b"", b"s1", b"outsider"])
    return {
        "list": messages.request(version, messages.LIST, host=host, key=key),
        "join": messages.request(version, messages.JOIN, b"\0", host=host, key=key),
        "review": messages.request(version, messages.REVIEW, host=host, key=key),
        "resolve": messages.resolve(version, b"s1", host=host, key=key),
        "down": messages.down(key),
        "another version": messages.request(version + 1, messages.LIST),
        "half a message": messages.request(version, messages.LIST)[:chance.randrange(1, 20)],
        "noise": chance.randbytes(chance.randrange(1, 1200)),
    }


def at_control():
    """Silent ones, noise, and what members say; a descriptor with it at times."""
    name = chance.choice([bytes.fromhex(name) for name in doors["control"]])
    try:
        s = messages.connect(name)
    except OSError as e:
        counts["not connected: " + errno.errorcode[e.errno]] += 1
        return
    what = chance.choice(["silence", *requests()])
    counts[what] += 1
    if what != "silence":
        rights = [0] if chance.random() < 0.1 else []
        try:
            socket.send_fds(s, [requests()[what]], rights)
        except OSError:
            pass
    control.add(s, what)
    control.look()


def with_a_key_file():
    """A file is mapped whose path ends as that of the network's key, under an environment that names the network."""
    path = os.path.join(doors["outsiders"], door.replace(" ", "-") + doors["net"], "key")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb+") as f:
        f.write(bytes(16))
        f.flush()
        return mmap.mmap(f.fileno(), 16, prot=mmap.PROT_READ)


# ---------------------------------------------------------------------------------------------- TCP


# To list all sockets takes the kernel longer than all else that is done here.
LIST_EVERY = 0.3
listed = 0, []


def listeners():
    """Where others than outsiders listen in the network's block, as (ip, port); as of a moment ago."""
    global listed
    if time.monotonic() < listed[0]:
        return listed[1]
    found = []
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            words = line.split()
            ip, port = words[1].split(":")
            ip = socket.inet_ntoa(struct.pack("<I", int(ip, 16)))
            if words[3] == "0A" and ip.startswith(f"127.{doors['block']}.") and int(words[7]) != UID:
                found.append((ip, int(port, 16)))
    listed = time.monotonic() + LIST_EVERY, found
    return found


def somewhere():
    """An address of a host, or of the stack, in the block."""
    ip = chance.choice([f"127.{doors['block']}.0.{chance.randrange(1, 9)}"] * 3
                       + [f"127.{doors['block']}.255.{chance.randrange(250, 255)}"])
    return ip, chance.choice([0, 0, 30080, 30081, chance.randrange(1024, 65536)])


# What outsiders say to each other by mistake, where one has an address that a server had.
GREETING, HELLO = b"0 outsider 0".ljust(64), b"outsider"


def judge_server(about, got, _):
    # A server's greeting comes before all else. Without one an outsider hears another outsider, or itself: a socket that
    # dials the address that it is bound to, which a server had a moment ago, is connected to itself.
    if got not in (GREETING, HELLO):
        fault("a server served it", at=about, bytes=repr(got))


def judge_stack(about, got, _):
    if b'" E "' not in got and got != GREETING:
        fault("the stack answered", to=about, bytes=repr(got))


servers, stack = Kept(judge_server), Kept(judge_stack)


def dial(to, source=None):
    s = socket.socket()
    s.setblocking(False)
    try:
        if source:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(source)
        error = s.connect_ex(to)
    except OSError as e:
        error = e.errno
    if error not in (0, errno.EINPROGRESS):
        counts["not connected: " + errno.errorcode[error]] += 1
        s.close()
        return None
    return s


def at_listeners():
    """Connections from anywhere, from addresses of hosts among them; some say something, some are reset at once."""
    servers.look()
    there = [at for at in listeners() if not at[0].endswith(".255.254")]
    if not there:
        counts["nobody listens"] += 1
        return
    to = chance.choice(there)
    source = somewhere() if chance.random() < 0.5 else None
    s = dial(to, source)
    if not s:
        return
    kind = chance.choice(["says something", "is silent", "is reset"])
    counts[f"{kind}, from an address of the block" if source else kind] += 1
    if kind == "is reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        return
    if kind == "says something":
        try:
            s.send(HELLO)
        except OSError:
            pass
    servers.add(s, to)


# Addresses taken, and until when.
taken = []


def listen_at(at):
    s = socket.socket()
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(at)
        if chance.random() < 0.7:
            s.listen()
        counts["an address of the block taken"] += 1
    except OSError as e:
        counts["not bound: " + errno.errorcode[e.errno]] += 1
        s.close()
        return
    s.setblocking(False)
    taken.append((s, time.monotonic() + 4 * chance.random() ** 2))
    if len(taken) > MOST_KEPT:
        taken.pop(0)[0].close()


def judge_caller(about, got, _):
    if got != HELLO:
        fault("a member talked to it", at=about, bytes=repr(got))


callers = Kept(judge_caller)


def greet_callers():
    """As a server would; what has been kept long enough is let go."""
    for one in taken.copy():
        s, until = one
        try:
            c, peer = s.accept()
            counts["callers"] += 1
            c.send(GREETING)
            callers.add(c, [s.getsockname(), peer])
        except OSError:
            pass
        if time.monotonic() > until:
            taken.remove(one)
            s.close()


def at_sources():
    """Addresses of hosts are taken for a moment; who calls there is greeted."""
    callers.look()
    greet_callers()
    listen_at(somewhere())


def at_the_stack():
    """Handshake lines, good and bad; and the stack's own places are taken, where lonetd is dead."""
    stack.look()
    # Who calls there says a line, and is an outsider like this one, or lonetd.
    while taken and time.monotonic() > taken[0][1]:
        taken.pop(0)[0].close()
    to = (f"127.{doors['block']}.255.254", chance.choice(STACK_PORTS))
    if chance.random() < 0.1:
        listen_at(to)
        return
    s = dial(to)
    if not s:
        return
    name = doors["network"]
    lines = {
        "silence": b"",
        "a dial": f'lonet "lonet{name}" dial "outsider:1" "s1:30080"\n'.encode(),
        "half a dial": f'lonet "lonet{name}" dial "str'.encode(),
        "another network": b'lonet "lonetelse" dial "outsider:1" "s1:30080"\n',
        "a line without an end": b"x" * 2000,
        "noise": chance.randbytes(100),
    }
    what = chance.choice(list(lines))
    counts[what] += 1
    select.select([], [s], [], 0.1)
    try:
        s.send(lines[what])
    except OSError:
        pass
    stack.add(s, what)


# ---------------------------------------------------------------------------------------------- files


def at_files():
    """What nobody but the owner may do in the network's directory, and what may be done beside it."""
    net = doors["net"]
    root = os.path.dirname(net)
    tmp = os.path.dirname(root)
    mine = os.path.join(root, f"outsider-{chance.randrange(8)}")
    file = os.path.join(net, chance.choice(["key", "table", "log", "lock", "control", "registry.db"]))
    forbidden = {
        "open a file": lambda: os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK)),
        "write a file": lambda: os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK)),
        "unlink a file": lambda: os.unlink(file),
        "put a link in place of a file": lambda: os.symlink("/etc/passwd", file),
        "make a FIFO": lambda: os.mkfifo(file),
        "link a file": lambda: os.link(file, mine),
        "list the directory": lambda: os.listdir(net),
        "move the directory": lambda: os.rename(net, mine),
        "take the directory away": lambda: os.rmdir(net),
        "open the directory to all": lambda: os.chmod(net, 0o777),
        "move the directory of all networks": lambda: os.rename(root, os.path.join(tmp, "outsider-root")),
        "replace the directory": lambda: os.rename(mine, net),
    }
    beside = {
        "make a directory": lambda: os.mkdir(mine),
        "make a link to the network": lambda: os.symlink(net, mine),
        "make a FIFO beside it": lambda: os.mkfifo(mine),
        "take it away": lambda: os.rmdir(mine),
        "unlink it": lambda: os.unlink(mine),
        "make a directory for the fallback": lambda: os.mkdir(os.path.join(tmp, "lonet-0")),
    }
    what = chance.choice([*forbidden, *beside])
    counts[what] += 1
    try:
        {**forbidden, **beside}[what]()
    except OSError:
        return
    if what in forbidden:
        fault("it could " + what, file=file)


look_for_doors()
os.chdir("/")
os.setgroups([])
os.setgid(UID)
os.setuid(UID)
if "dumpable" in door:
    # As any process that has not changed its uid: its files in /proc are its own.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
mapped = with_a_key_file() if "key" in door else None
act = {"control": at_control, "key": at_control, "dumpable key": at_control, "listeners": at_listeners,
       "sources": at_sources, "stack": at_the_stack, "files": at_files}[door]
while not select.select([sys.stdin], [], [], 1 / PER_SECOND)[0]:
    look_for_doors()
    act()
print(json.dumps({"counts": counts}), flush=True)
