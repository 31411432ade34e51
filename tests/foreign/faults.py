"""Faults between programs and foreign hosts."""

import json
import socket

from harness import ECHO, main, until

# Sends each line of its input; says what comes.
TALK = r"""
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def hear():
    while data := s.recv(65536):
        print(data.decode(), flush=True)
threading.Thread(target=hear, daemon=True).start()
while not os.path.exists(sys.argv[3]): pass
s.sendall(b"second ")
while s.getsockopt(6, 11, 192)[2] == 0: pass
print("lost", flush=True)
threading.Event().wait()
"""


def is_sent_again(sock):
    # tcpi_retransmits
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)[2] > 0


def hits(t):
    return sum(rule["hits"] for rule in json.loads(t.lonet("faults", "--json").stdout)["rules"])


def test_a_cut_drops_what_a_program_and_a_foreign_host_send_each_other(t):
    g = t.foreign().host("γ")
    came, conns = [], []

    def hear(conn, local, remote):
        conns.append(conn)
        conn.sendall(b"hello")
        while data := conn.recv(65536):
            came.append(data)

    g.listen(7, hear)
    p = t.start("α", TALK, "γ.lonet", "7", t.tmp + "/go")
    assert p.stdout.readline() == "hello\n"
    assert t.lonet("cut", "α", "γ").stdout == "cut 1 connection\n"
    open(t.tmp + "/go", "w").close()
    assert p.stdout.readline() == "lost\n"
    conns[0].sendall(b"back")
    until(lambda: is_sent_again(conns[0]))
    assert came == [], came
    until(lambda: hits(t) >= 2)
    assert t.lonet("heal").stdout == "healed 1 connection\n"
    assert p.stdout.readline() == "back\n"
    until(lambda: came == [b"second "])


def test_a_dial_by_a_foreign_host_is_cut_with_what_it_has_made(t):
    g = t.foreign().host("γ")
    t.start("α", ECHO, "10")
    t.wait("α:10")
    conn, _, _ = g.dial("α", 10, b"before")
    assert conn.recv(10) == b"before"
    t.lonet("cut", "γ")
    conn.sendall(b"meanwhile")
    until(lambda: is_sent_again(conn))
    conn.setblocking(False)
    try:
        raise AssertionError(conn.recv(10))
    except BlockingIOError:
        pass
    conn.setblocking(True)
    t.lonet("heal", "--expect-hit")
    assert conn.recv(10) == b"meanwhile"


def test_one_direction_to_a_foreign_host_cannot_be_cut_alone(t):
    g = t.foreign().host("γ")
    t.start("α", ECHO, "10")
    t.wait("α:10")
    conn, _, _ = g.dial("α", 10, b"x")
    assert conn.recv(10) == b"x"
    done = t.lonet("cut", "α>γ", check=False)
    assert done.returncode == 1 and "γ is foreign" in done.stderr, done
    t.lonet("cut", "γ>α")
    conn.sendall(b"y")
    until(lambda: is_sent_again(conn))
    t.lonet("heal")
    assert conn.recv(10) == b"y"


main(globals())
