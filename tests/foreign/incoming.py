"""Foreign hosts dial unmodified programs."""

import json
import os
import select
import socket
import struct
import threading
import time

from harness import ECHO, TESTS, main, until


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def recorded():
    with open(os.path.join(TESTS, "wire", "reference-acceptor.jsonl")) as f:
        return [json.loads(line) for line in f]


def test_the_answers_are_the_references(t):
    t.start("α", ECHO, "10")
    t.wait("α:10")
    net = t.foreign()
    full = net.full
    for case in recorded():
        send = bytes.fromhex(case["send_hex"]).replace(b"lonetwiretest", full.encode())
        if case["case"].startswith(("too long", "line exactly")):
            send = bytes.fromhex(case["send_hex"])
        reply = case["reply"]
        if reply is not None:
            reply = reply.replace("lonetwiretest", full)
            if " connected " in reply:
                # A program's listener accepts as TCP does: on its own port.
                head, _, tail = reply.partition('"α:')
                reply = head + '"α:10"\n' + tail.partition("\n")[2]
        conn = socket.create_connection(net.address("α"))
        conn.sendall(send)
        if case.get("half_close"):
            conn.shutdown(socket.SHUT_WR)
        conn.settimeout(0.3 if reply is None else 10)
        got = b""
        try:
            while len(got) < len((reply or "x").encode()):
                piece = conn.recv(4096)
                if not piece:
                    break
                got += piece
            if case["then"] == "closed" and reply:
                assert conn.recv(1) == b"", case["case"]
        except socket.timeout:
            assert reply is None, case["case"]
        if case["then"] == "stays open" and reply:
            assert not select.select([conn], [], [], 0.05)[0], case["case"]
        assert got == (reply or "").encode(), (case["case"], got)
        conn.close()


def test_data_behind_the_request_arrives_and_the_caller_has_a_name(t):
    p = t.start("α", ECHO, "10")
    t.wait("α:10")
    g = t.foreign().host("γ")
    conn, local, remote = g.dial("α", 10, b"hello")
    assert (local, remote) == ("γ:1", "α:10"), (local, remote)
    assert conn.recv(5) == b"hello"
    ip, port = p.stdout.readline().split()
    assert port == "1" and ip == t.ls()["γ"]["address"], (ip, port)
    assert t.ls()["γ"]["foreign"] is True and "foreign" not in t.ls()["α"]
    socks = [s for s in t.ls()["α"]["sockets"] if s["state"] == "connected"]
    assert [(s["port"], s["peer"], s["pid"]) for s in socks] == [(10, "γ:1", p.pid)], socks


def test_the_connection_is_the_dialers_own(t):
    """A lonetd that is stopped carries nothing."""
    import signal

    t.start("α", ECHO, "10")
    t.wait("α:10")
    conn, _, _ = t.foreign().host("γ").dial("α", 10, b"x")
    assert conn.recv(1) == b"x"
    pid = t.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        conn.sendall(b"direct")
        assert conn.recv(6) == b"direct"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_server_may_speak_first(t):
    t.start("α", "import socket\ns = socket.create_server(('', 25))\nwhile True: s.accept()[0].sendall(b'220 hi')\n")
    t.wait("α:25")
    g = t.foreign().host("γ")
    for _ in range(20):
        conn, _, _ = g.dial("α", 25)
        assert conn.recv(6) == b"220 hi"


def test_a_request_may_come_a_byte_at_a_time(t):
    t.start("α", ECHO, "10")
    t.wait("α:10")
    g = t.foreign().host("γ")
    _, line = g.request("α", 10)
    conn = socket.create_connection(g.net.address("α"))
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(line)):
        conn.sendall(line[i : i + 1])
        time.sleep(0.002)
    assert g.connected(conn) == "α:10"
    conn.sendall(b"x")
    assert conn.recv(1) == b"x"


def test_a_reset_at_any_byte_harms_nobody(t):
    t.start("α", ECHO, "10")
    t.wait("α:10")
    g = t.foreign().host("γ")
    _, line = g.request("α", 10)
    for i in range(len(line) + 1):
        conn = socket.create_connection(g.net.address("α"))
        conn.sendall(line[:i])
        reset(conn)
    conn, _, _ = g.dial("α", 10, b"x")
    assert conn.recv(1) == b"x"
    conn.close()
    until(lambda: [s["state"] for s in t.ls()["α"]["sockets"]] == ["listening"])


def test_a_thousand_connections_at_once(t):
    p = t.start("α", ECHO, "10")
    t.wait("α:10")
    g = t.foreign().host("γ")
    where = g.net.address("α")
    conns = []
    for _ in range(1000):
        src, line = g.request("α", 10)
        conn = socket.create_connection(where)
        conn.sendall(line + src.encode())
        conns.append((conn, src))
    for conn, src in conns:
        conn.settimeout(30)
        assert g.connected(conn) == "α:10"
        assert conn.recv(100) == src.encode()
    callers = {p.stdout.readline().split()[1] for _ in conns}
    assert callers == {str(i) for i in range(1, 1001)}
    assert "relayed" not in t.log(), t.log()


SEVERAL = r"""
import os, select, socket, sys
how = sys.argv[1]
if how == "v6":
    s = socket.create_server(("::", 10), family=socket.AF_INET6, dualstack_ipv6=True)
elif how == "v6only":
    s = socket.create_server(("::", 10), family=socket.AF_INET6)
else:
    s = socket.socket()
    if how == "reuseport":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if os.fork():
            s.close(); s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("", 10)); s.listen(64)
if how == "prefork":
    for _ in range(3):
        if os.fork() == 0: break
if how in ("poll", "epoll", "prefork"):
    s.setblocking(False)
    p = select.poll() if how == "poll" else select.epoll()
    p.register(s, select.POLLIN)
while True:
    if how in ("poll", "epoll", "prefork"):
        p.poll()
    try:
        c, peer = s.accept()
    except BlockingIOError:
        continue
    c.setblocking(True)
    c.sendall(("%s %d %s" % (peer[0], peer[1], c.getpeername()[0])).encode())
    c.close()
"""


def test_it_is_accepted_as_any_connection_is(t):
    net = t.foreign()
    g = net.host("γ")
    for how in ("plain", "poll", "epoll", "prefork", "reuseport", "v6", "v6only"):
        p = t.start(how, SEVERAL, how)
        t.wait(how + ":10")
        for _ in range(20):
            conn, local, _ = g.dial(how, 10)
            seen = conn.recv(100).decode().split()
            ip = t.ls()["γ"]["address"] if not how.startswith("v6") else None
            if ip:
                assert seen == [ip, local[2:], ip], (how, seen)
            else:
                assert ":" in seen[0] and seen[1] == local[2:], (how, seen)
            conn.close()
        p.kill()
        p.wait()
    assert "relayed" not in t.log(), t.log()


INHERIT = r"""
import fcntl, os, socket, struct
T, S, I = socket.IPPROTO_TCP, socket.SOL_SOCKET, socket.IPPROTO_IP
options = [(T, socket.TCP_NODELAY, 1), (S, socket.SO_KEEPALIVE, 1), (T, socket.TCP_KEEPIDLE, 77), (T, socket.TCP_KEEPCNT, 3),
    (I, socket.IP_TOS, 0x10), (S, socket.SO_OOBINLINE, 1), (T, socket.TCP_USER_TIMEOUT, 5000), (S, socket.SO_RCVBUF, 20000)]
s = socket.socket()
for level, name, value in options: s.setsockopt(level, name, value)
s.setsockopt(S, socket.SO_LINGER, struct.pack("ii", 1, 5))
s.bind(("", 10)); s.listen()
free = os.dup(0); os.close(free)
fd, peer = s._accept()
assert fd == free, (fd, free)
c = socket.socket(fileno=fd)
for level, name, value in options:
    assert c.getsockopt(level, name) == s.getsockopt(level, name), (level, name, c.getsockopt(level, name))
assert c.getsockopt(S, socket.SO_LINGER, 8) == struct.pack("ii", 1, 5)
assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC, "accept4 wanted it"
assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
default = socket.socket()
assert c.getsockopt(S, socket.SO_SNDBUF) >= default.getsockopt(S, socket.SO_SNDBUF)
print("all", flush=True)
import ctypes
accept4 = ctypes.CDLL(None).accept4
fd = accept4(s.fileno(), None, None, os.O_NONBLOCK)
assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
assert not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
print("flags", flush=True)
"""


def test_it_has_what_accept_inherits_and_the_lowest_descriptor(t):
    p = t.start("α", INHERIT)
    t.wait("α:10")
    g = t.foreign().host("γ")
    one = g.dial("α", 10)
    assert p.stdout.readline() == "all\n"
    two = g.dial("α", 10)
    assert p.stdout.readline() == "flags\n"
    assert p.wait() == 0, (one, two)


OF_A_FAMILY = r"""
import socket, sys
family, v6only = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket(family)
if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
s.bind(("", 10)); s.listen()
for _ in range(2):
    c, peer = s.accept()
    assert c.family == c.getsockopt(socket.SOL_SOCKET, 39) == family, "SO_DOMAIN"
    assert c.getpeername() == peer and len(peer) == len(s.getsockname()), (peer, c.getpeername())
    if family == socket.AF_INET6: assert c.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == v6only
    print(c.getsockname()[0], c.getsockname()[1], peer[0], peer[1], flush=True)
    while data := c.recv(100): c.sendall(data)
    c.close()
"""


def test_what_is_accepted_is_of_its_listeners_family(t):
    g = t.foreign().host("γ")
    listeners = ((socket.AF_INET, 0, ""), (socket.AF_INET6, 0, "::ffff:"), (socket.AF_INET6, 1, "fd6c:6f6e:6574:"))
    for i, (family, v6only, face) in enumerate(listeners):
        host = "h%d" % i
        p = t.start(host, OF_A_FAMILY, str(int(family)), str(v6only))
        t.wait(host + ":10")
        conn, _, remote = g.dial(host, 10, b"x")
        assert (remote, conn.recv(1)) == (host + ":10", b"x")
        local, port, peer, _ = p.stdout.readline().split()
        assert port == "10" and local.startswith(face) and peer.startswith(face), (local, peer)
        if not v6only:
            hosts = t.ls()
            assert (local, peer) == (face + hosts[host]["address"], face + hosts["γ"]["address"])
        # The one before may not have become an AF_INET one any more.
        assert t.log().count("is relayed") <= (i > 0), t.log()
        # Its dialer has said all that it has to say before it is answered.
        conn.close()
        _, line = g.request(host, 10)
        early = socket.create_connection(g.net.address(host))
        early.sendall(line + b"early")
        early.shutdown(socket.SHUT_WR)
        assert g.connected(early) == host + ":10"
        assert early.recv(5, socket.MSG_WAITALL) == b"early" and early.recv(1) == b""
        assert p.wait() == 0


RAW = r"""
import ctypes, socket, sys, time
libc = ctypes.CDLL(None)
s = socket.create_server(("", 10))
print("up", flush=True)
while True:
    fd = libc.syscall(288, s.fileno(), None, None, 0)
    c = socket.socket(fileno=fd)
    if sys.argv[1] == "first":
        c.sendall(b"hi ")
    while True:
        data = c.recv(65536)
        if not data: break
        c.sendall(data)
    c.shutdown(socket.SHUT_WR)
    c.close()
"""


def test_who_accepts_behind_the_hooks_back_is_relayed(t):
    t.start("α", RAW, "first")
    t.start("β", RAW, "second")
    t.wait("α:10", "β:10")
    g = t.foreign().host("γ")
    for host, greeting in (("α", b"hi "), ("β", b"")):
        conn, _, _ = g.dial(host, 10, b"early")
        want, got = greeting + b"early" + b"x" * 1000000, b""
        threading.Thread(target=conn.sendall, args=(b"x" * 1000000,)).start()
        while len(got) < len(want):
            got += conn.recv(65536)
        assert got == want
        conn.shutdown(socket.SHUT_WR)
        assert conn.recv(1) == b""
        conn.close()
    assert t.log().count("is relayed") == 2, t.log()
    # Both ends are gone, and so are the ports that they held.
    until(lambda: [s["state"] for s in t.ls()["α"]["sockets"]] == ["listening"])


NO_DESCRIPTOR = r"""
import os, resource, socket
s = socket.create_server(("", 10))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
full = []
try:
    while True: full.append(os.dup(0))
except OSError: pass
os.close(full.pop())
c, peer = s.accept()
c.sendall(b"one left")
c.close()
os.close(full.pop())
c, peer = s.accept()
c.sendall(b"two left")
"""


def test_two_free_descriptors_are_enough_and_with_one_it_is_relayed(t):
    p = t.start("α", NO_DESCRIPTOR)
    t.wait("α:10")
    g = t.foreign().host("γ")
    conn, _, _ = g.dial("α", 10)
    assert conn.recv(100) == b"one left"
    assert "relayed" in t.log()
    conn, _, _ = g.dial("α", 10)
    assert conn.recv(100) == b"two left"
    assert t.log().count("is relayed") == 1
    assert p.wait() == 0


def test_a_backlog_is_a_backlog(t):
    """Connections wait in the listener's queue for as long as it takes, and end with it."""
    p = t.start("α", "import socket, sys, time\ns = socket.create_server(('', 10), backlog=8)\nprint(1)\nsys.stdin.read()\n"
                     "time.sleep(1.2)\nc, a = s.accept()\nc.sendall(b'late')\ntime.sleep(0.3)\n")
    t.wait("α:10")
    g = t.foreign().host("γ")
    first, _, _ = g.dial("α", 10)
    second, _, _ = g.dial("α", 10)
    assert first.recv(100) == b"late"
    try:
        assert second.recv(1) == b"", "the listener has gone"
    except ConnectionResetError:
        pass
    assert p.wait() == 0 and "relayed" not in t.log(), t.log()


def test_a_dialer_that_leaves_before_it_is_accepted_is_none(t):
    p = t.start("α", "import socket, sys, time\ns = socket.create_server(('', 10))\ntime.sleep(0.7)\nc, a = s.accept()\n"
                     "c.sendall(b'who')\ntime.sleep(1)\n")
    t.wait("α:10")
    g = t.foreign().host("γ")
    first, _, _ = g.dial("α", 10)
    reset(first)
    second, _, _ = g.dial("α", 10)
    assert second.recv(100) == b"who"
    assert p.stdout is not None


def test_strangers_of_other_users_are_not_let_in(t):
    if os.getuid() != 0:
        return
    t.start("α", ECHO, "10")
    t.wait("α:10")
    where = t.foreign().address("α")
    r, w = os.pipe()
    if os.fork() == 0:
        try:
            os.setuid(65534)
            conn = socket.create_connection(where)
            conn.sendall(b"> lonet \"%s\" dial \"x:1\" \"\xce\xb1:10\"\n" % t.net.full.encode())
            os.write(w, conn.recv(10) or b"closed")
        except ConnectionResetError:
            os.write(w, b"closed")
        finally:
            os._exit(0)
    assert os.read(r, 100) == b"closed"
    os.wait()
    assert "uid 65534" in t.log(), t.log()


def test_a_slow_dialer_delays_nobody_and_ten_seconds_are_the_end(t):
    t.start("α", ECHO, "10")
    t.wait("α:10")
    g = t.foreign().host("γ")
    slow = socket.create_connection(g.net.address("α"))
    slow.sendall(b"> lonet")
    begin = time.monotonic()
    conn, _, _ = g.dial("α", 10, b"x")
    assert conn.recv(1) == b"x"
    slow.settimeout(20)
    assert slow.recv(1) == b""
    assert 9 < time.monotonic() - begin < 20


def test_of_more_than_1024_half_done_handshakes_the_oldest_go_first(t):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    t.start("α", ECHO, "10")
    t.wait("α:10")
    g = t.foreign().host("γ")
    where = g.net.address("α")
    conns = []
    for i in range(1100):
        conns.append(socket.create_connection(where))
        if i % 100 == 0:
            g.dial("α", 10)[0].close()
    conn, _, _ = g.dial("α", 10, b"x")
    assert conn.recv(1) == b"x"
    poll = select.poll()
    for c in conns:
        poll.register(c, select.POLLIN)
    over = {fd for fd, _ in poll.poll(0)}
    dropped = [c.fileno() in over for c in conns]
    # One of the 1024 places was the last dial's.
    assert dropped[:70] == [True] * 70 and not any(dropped[90:]), dropped.count(True)
    for c in conns:
        c.close()


if __name__ == "__main__":
    main(globals())
