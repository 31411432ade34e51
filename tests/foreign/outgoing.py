"""Unmodified programs dial foreign hosts."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from harness import PATIENCE, TESTS, main, until


def echo(conn, local, remote):
    while data := conn.recv(65536):
        conn.sendall(data)


def test_a_program_reaches_a_foreign_host_by_name(t):
    g = t.foreign().host("γ")
    g.listen(7, echo)
    out = t.run("α", """
import socket
s = socket.create_connection(("γ.lonet", 7))
print(s.getsockname()[1], s.getpeername() == (socket.gethostbyname("γ.lonet"), 7))
s.sendall(b"ping"); print(s.recv(10).decode())
""")
    assert out == "1 True\nping\n", out
    assert g.requests == [g_line(g, "α:1", "γ:7")], g.requests


def g_line(g, src, dst):
    return ('> lonet "%s" dial "%s" "%s"\n' % (g.net.full, src, dst)).encode()


def test_the_program_talks_to_the_peer_itself(t):
    """A lonetd that is stopped carries nothing."""
    g = t.foreign().host("γ")
    g.listen(7, echo)
    p = t.start("α", """
import socket, sys
all = []
for timeout in None, 5:
    all.append(socket.create_connection(("γ.lonet", 7), timeout=timeout))
print("connected", flush=True)
import os, time
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
for s in all:
    s.sendall(b"x" * 100000)
    n = 0
    while n < 100000: n += len(s.recv(65536))
print("echoed", flush=True)
""", t.tmp + "/stopped")
    assert p.stdout.readline() == "connected\n"
    pid = t.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        open(t.tmp + "/stopped", "w").close()
        assert p.stdout.readline() == "echoed\n"
    finally:
        os.kill(pid, signal.SIGCONT)


DIAL = r"""
import errno, os, select, socket, sys, time
host, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket()
if how == "blocking":
    e = s.connect_ex((host, port))
else:
    s.setblocking(False)
    poll = select.epoll(); poll.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    e = s.connect_ex((socket.gethostbyname(host), port))
    if e in (0, errno.EINPROGRESS):
        poll = select.poll(); poll.register(s, select.POLLOUT)
        poll.poll(20000)
        e = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
print(errno.errorcode.get(e, e))
if e == 0:
    s.setblocking(True)
    s.settimeout(20)
    try: print(repr(s.recv(100)))
    except OSError as e: print(errno.errorcode.get(e.errno, e))
"""


def test_what_the_reference_makes_of_replies_is_what_connect_reports(t):
    g = t.foreign().host("α")
    with open(os.path.join(TESTS, "wire", "reference-dialer.jsonl")) as f:
        cases = [json.loads(line) for line in f]
    for case in cases:
        want = case["dialer"]
        reply = case["reply"].replace("lonetwiretest", g.net.full)

        def answer(conn, line, reply=reply):
            conn.sendall(reply.encode())
            if "connected" not in reply:
                return
            # What was refused must not be the peer's own doing.
            conn.settimeout(5)
            conn.recv(1)

        g.answer_with(answer)
        for how in "blocking", "nonblocking":
            before = len(t.log())
            got = t.run("β", DIAL, "α.lonet", "10", how).split("\n")[0]
            if how == "nonblocking" and "is relayed" in t.log()[before:]:
                # On a busy machine the peer may take longer than such a program waits.
                assert got == "0", (case["case"], got)
                continue
            if want.startswith("CONN"):
                assert got == "0", (case["case"], how, got)
            elif want.endswith("connection refused"):
                assert got == "ECONNREFUSED", (case["case"], how, got)
            else:
                errors = {"eof": "ECONNRESET", "eof mid line": "ECONNRESET", "other error": "ECONNREFUSED"}
                assert got == errors.get(case["case"], "EPROTO"), (case["case"], how, got)
                told = want[4:].replace("lonetwiretest", g.net.full).replace("OSADDR", g.os)
                # The last is longer than the log's line may be quoted; its beginning will do.
                assert told[:300] in t.log(), (case["case"], told, t.log())
    assert all(r == g_line(g, "β:1", "α:10") for r in g.requests), g.requests


def test_data_right_behind_the_reply_is_the_programs(t):
    g = t.foreign().host("γ")
    g.answer_with(lambda c, line: c.sendall(b'< lonet "%s" connected "\xce\xb3:7"\nhello' % g.net.full.encode()))
    for how in "blocking", "nonblocking":
        assert t.run("α", DIAL, "γ.lonet", "7", how) == "0\nb'hello'\n"


def test_the_reply_may_come_a_byte_at_a_time(t):
    g = t.foreign().host("γ")

    def answer(conn, line):
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for b in b'< lonet "%s" connected "\xce\xb3:7"\nhello' % g.net.full.encode():
            conn.sendall(bytes([b]))
            time.sleep(0.003)

    g.answer_with(answer)
    for how in "blocking", "nonblocking":
        got = t.run("α", DIAL, "γ.lonet", "7", how)
        assert got.startswith("0\nb'h"), got


def test_a_reset_or_an_end_at_any_byte_of_the_reply_is_a_reset(t):
    """To the program they are the same; lonetd's log tells them apart."""
    g = t.foreign().host("γ")
    reply = b'< lonet "%s" connected "\xce\xb3:7"\n' % g.net.full.encode()
    reset, end = "ECONNRESET: Connection reset by peer", "unexpected EOF"
    for resets, said, unsaid in (True, reset, end), (False, end, reset):
        sent = iter(range(len(reply)))

        def answer(conn, line, resets=resets, sent=sent):
            conn.sendall(reply[: next(sent)])
            if resets:
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            conn.close()

        g.answer_with(answer)
        before = t.log()
        out = t.run("α", """
import errno, socket, sys
seen = [socket.socket().connect_ex(("γ.lonet", 7)) for _ in range(int(sys.argv[1]))]
print({errno.errorcode[e] for e in seen})
s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])
""", str(len(reply)))
        assert out == "{'ECONNRESET'}\n1\n", out
        log = t.log()[len(before) :]
        assert (log.count(said), log.count(unsaid)) == (len(reply), 0), (resets, log)


def after(seconds, reply):
    def answer(conn, line):
        if not line:
            return
        time.sleep(seconds)
        conn.sendall(reply)
        conn.settimeout(20)
        while data := conn.recv(65536):
            conn.sendall(data)

    return answer


def test_connect_that_does_not_wait_is_back_before_a_slow_peer_answers(t):
    """The peer answers when the call is over, and not before. How long lonetd may take is asked of it: 50 ms at most."""
    g = t.foreign().host("γ")
    over, log = t.tmp + "/over", t.tmp + "/why"

    def answer(conn, line):
        until(lambda: os.path.exists(over))
        conn.sendall(b'< lonet "%s" connected "\xce\xb3:7"\nhello' % g.net.full.encode())

    g.answer_with(answer)
    out = t.run("α", """
import errno, select, socket, sys
s = socket.socket(); s.setblocking(False)
print(errno.errorcode[s.connect_ex(("γ.lonet", 7))], flush=True)
open(sys.argv[1], "w").close()
select.select([], [s], []); select.select([s], [], [])
print(s.recv(10).decode())
""", over, env={"LONET_LOG": log})
    assert out == "EINPROGRESS\nhello\n", out
    with open(log) as f:
        asked = [int(n) for n in re.findall(r"connect → γ:7: under way: .* within (\d+) ms", f.read())]
    assert asked and all(0 < n <= 50 for n in asked), asked


def test_slow_peers_do_not_stall_a_program_that_does_not_wait(t):
    g = t.foreign().host("γ")
    full = g.net.full.encode()
    g.answer_with(after(1, b'< lonet "%s" connected "\xce\xb3:7"\nhello' % full))
    assert t.run("α", DIAL, "γ.lonet", "7", "blocking") == "0\nb'hello'\n"
    assert t.run("α", DIAL, "γ.lonet", "7", "nonblocking") == "0\nb'hello'\n"
    assert "is relayed" in t.log()
    g.answer_with(after(1, b'< lonet "%s" E "connection refused"\n' % full))
    assert t.run("α", DIAL, "γ.lonet", "7", "blocking") == "ECONNREFUSED\n"
    assert t.run("α", DIAL, "γ.lonet", "7", "nonblocking") == "0\nECONNRESET\n"
    g.answer_with(after(60, b""))
    begin = time.monotonic()
    p = t.start("α", DIAL, "γ.lonet", "7", "nonblocking")
    q = t.start("β", DIAL, "γ.lonet", "7", "blocking")
    # A silent peer delays nobody else.
    h = t.net.host("δ")
    h.listen(7, lambda c, local, remote: c.sendall(b"quick"))
    assert t.run("ε", DIAL, "δ.lonet", "7", "nonblocking") == "0\nb'quick'\n"
    assert p.communicate(timeout=20)[0] == "0\nECONNRESET\n"
    assert q.communicate(timeout=20)[0] == "ETIMEDOUT\n"
    assert 9 < time.monotonic() - begin < 20


def test_a_relayed_connection_carries_all_in_both_directions(t):
    g = t.foreign().host("γ")
    g.answer_with(after(0.3, b'< lonet "%s" connected "\xce\xb3:7"\n' % g.net.full.encode()))
    out = t.run("α", """
import socket, threading
s = socket.create_connection(("γ.lonet", 7), timeout=10)
s.settimeout(None)
name = s.getpeername(), s.getsockname()
data = bytes(range(256)) * 20000
threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
got = b""
while piece := s.recv(65536): got += piece
print(got == data, name[0] == (socket.gethostbyname("γ.lonet"), 7), name[1] == (socket.gethostbyname("α.lonet"), 1))
""")
    assert out == "True True True\n", out
    until(lambda: "α" not in t.ls() or not t.ls()["α"]["sockets"])


def test_so_sndtimeo_limits_a_blocking_connect(t):
    g = t.foreign().host("γ")
    g.answer_with(after(1, b'< lonet "%s" connected "\xce\xb3:7"\nhello' % g.net.full.encode()))
    out = t.run("α", """
import errno, select, socket, struct, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
begin = time.monotonic()
e = s.connect_ex(("γ.lonet", 7))
took = time.monotonic() - begin
print(errno.errorcode[e], 0.2 < took < 0.9)
select.select([], [s], [], 10)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.recv(10))
""")
    assert out == "EINPROGRESS True\n0 b'hello'\n", out


INTERRUPTED = r"""
import ctypes, errno, os, select, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, sys.argv[1] == "interrupts")
# A handler of the other kind, which does not run.
signal.signal(signal.SIGUSR1, lambda *a: None)
signal.siginterrupt(signal.SIGUSR1, sys.argv[1] != "interrupts")
s = socket.socket()
ip = socket.gethostbyname("γ.lonet")
address = struct.pack("!HH4s8x", 0, 7, socket.inet_aton(ip))
address = struct.pack("H", socket.AF_INET) + address[2:]
signal.setitimer(signal.ITIMER_REAL, 0.3)
begin = time.monotonic()
r = libc.connect(s.fileno(), address, 16)
e = ctypes.get_errno() if r else 0
took = time.monotonic() - begin
print(errno.errorcode.get(e, e), took < 0.9)
select.select([], [s], [], 10)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.recv(10))
"""


def test_a_signal_interrupts_connect_where_the_kernel_would(t):
    g = t.foreign().host("γ")
    g.answer_with(after(1, b'< lonet "%s" connected "\xce\xb3:7"\nhello' % g.net.full.encode()))
    out = t.run("α", INTERRUPTED, "interrupts")
    assert out == "EINTR True\n0 b'hello'\n", out
    assert t.run("α", INTERRUPTED, "restarts") == "0 False\n0 b'hello'\n"


def test_an_interrupted_connect_waits_once_for_a_stopped_lonetd(t):
    """It has two things to tell lonetd, the second one because the first was not answered."""
    g = t.foreign().host("γ")
    g.answer_with(lambda conn, line: conn.recv(1))
    p = t.start("α", """
import ctypes, errno, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, True)
s = socket.socket()
address = struct.pack("H", socket.AF_INET) + struct.pack("!H4s8x", 7, socket.inet_aton(socket.gethostbyname("γ.lonet")))
print(0 if libc.connect(s.fileno(), address, 16) == 0 else errno.errorcode[ctypes.get_errno()], flush=True)
""")
    until(lambda: g.requests)
    pid = t.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        os.kill(p.pid, signal.SIGALRM)
        assert p.stdout.readline() == "ENETDOWN\n"
        taken = time.monotonic() - begin
    finally:
        os.kill(pid, signal.SIGCONT)
    assert taken < 10, taken


# Connects without a limit, or with SO_SNDTIMEO of a minute, while signals come whose handler restarts system calls.
RESTARTED = r"""
import ctypes, errno, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket()
address = struct.pack("H", socket.AF_INET) + struct.pack("!H4s8x", 7, socket.inet_aton(socket.gethostbyname("γ.lonet")))
if sys.argv[1] == "limited":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 60, 0))
else:
    # Python's own handler is of the other kind.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, lambda *a: None)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
print(errno.errorcode.get(ctypes.get_errno()) if libc.connect(s.fileno(), address, 16) else "connected", flush=True)
"""


def test_connect_ends_if_lonetd_stops_in_the_handshake(t):
    g = t.foreign().host("γ")
    g.answer_with(lambda conn, line: conn.recv(1))
    for how in "unlimited", "limited":
        g.requests.clear()
        p = t.start("α", RESTARTED, how)
        until(lambda: g.requests)
        pid = t.daemon()
        os.kill(pid, signal.SIGSTOP)
        try:
            out, _ = p.communicate(timeout=PATIENCE)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert out == "ENETDOWN\n", (how, out)


def test_connect_goes_on_with_a_lonetd_that_goes_on(t):
    g = t.foreign().host("γ")
    answers = threading.Event()

    def answer(conn, line):
        answers.wait()
        conn.sendall(b'< lonet "%s" connected "\xce\xb3:7"\n' % g.net.full.encode())
        conn.recv(1)

    g.answer_with(answer)
    for how in "unlimited", "limited":
        g.requests.clear()
        answers.clear()
        p = t.start("α", RESTARTED, how)
        until(lambda: g.requests)
        pid = t.daemon()
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: is_asked(pid))
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: not is_asked(pid))
        answers.set()
        out, _ = p.communicate(timeout=PATIENCE)
        assert out == "connected\n", (how, out)


def is_asked(pid):
    """Whether a connection waits for this lonetd to accept it."""
    seen = subprocess.run(["ss", "-xlpH"], capture_output=True, text=True, check=True).stdout
    return any("pid=%d," % pid in line and int(line.split()[2]) > 0 for line in seen.splitlines())


def test_the_flag_of_the_open_file_stays_the_programs(t):
    g = t.foreign().host("γ")
    g.answer_with(after(0.2, b'< lonet "%s" connected "\xce\xb3:7"\n' % g.net.full.encode()))
    out = t.run("α", """
import fcntl, os, socket, threading, time
s = socket.socket(); d = os.dup(s.fileno()); seen = set()
t = threading.Thread(target=lambda: s.connect(("γ.lonet", 7))); t.start()
while t.is_alive(): seen.add(fcntl.fcntl(d, fcntl.F_GETFL) & os.O_NONBLOCK)
print(seen, os.path.sameopenfile(d, s.fileno()))
""")
    assert out == "{0} True\n", out


def test_where_nobody_answers_there_is_no_such_host(t):
    net = t.foreign()
    g = net.host("γ")
    g.close(withdraw=False)
    for how in "blocking", "nonblocking":
        assert t.run("α", DIAL, "γ.lonet", "7", how) == "EHOSTUNREACH\n"
    # One whose listener's queue is full is not refused: it does not answer.
    assert "γ" not in t.ls()


def test_a_socket_may_dial_again_after_a_refusal(t):
    g = t.foreign().host("γ")
    g.listen(7, lambda c, local, remote: c.sendall(remote.encode()))
    out = t.run("α", """
import errno, socket
s = socket.socket(); s.bind(("", 5))
print(errno.errorcode[s.connect_ex(("γ.lonet", 8))])
print(errno.errorcode[s.connect_ex(("γ.lonet", 9))])
s.connect(("γ.lonet", 7))
print(s.getsockname()[1], s.recv(10).decode())
""")
    assert out == "ECONNREFUSED\nECONNREFUSED\n5 α:5\n", out


def test_ipv6_sockets_dial_foreign_hosts_too(t):
    g = t.foreign().host("γ")
    g.listen(7, lambda c, local, remote: c.sendall(b"six"))
    out = t.run("α", """
import socket
a = socket.getaddrinfo("γ.lonet", 7, socket.AF_INET6, socket.SOCK_STREAM)[0]
s = socket.socket(a[0]); s.connect(a[4])
print(s.recv(10).decode(), s.getpeername()[:2] == a[4][:2])
""")
    assert out == "six True\n", out


def test_a_thousand_dials_take_the_first_free_ports(t):
    g = t.foreign().host("γ")
    g.listen(7, lambda c, local, remote: (c.sendall(remote.encode()), c.recv(1)))
    out = t.run("α", """
import resource, socket
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
ip = socket.gethostbyname("γ.lonet")
all = [socket.create_connection((ip, 7)) for _ in range(1000)]
print([s.recv(10).decode() for s in all] == ["α:%d" % i for i in range(1, 1001)])
""")
    assert out == "True\n", out


def test_programs_that_die_in_a_dial_leave_nothing(t):
    g = t.foreign().host("γ")
    g.answer_with(after(60, b""))
    for how in "blocking", "nonblocking":
        p = t.start("α", DIAL, "γ.lonet", "7", how)
        until(lambda: g.requests)
        g.requests.clear()
        time.sleep(0.1)
        p.kill()
        p.wait()
        until(lambda: "α" not in t.ls())


if __name__ == "__main__":
    main(globals())
