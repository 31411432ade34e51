"""Who has which name: registry.db between lonetd and others."""

import os
import select
import signal
import socket
import sqlite3
import time

from harness import ECHO, main, until

SLEEP = "import time\ntime.sleep(100)\n"


def test_hosts_are_announced_when_they_come_and_their_rows_leave_with_them(t):
    net = t.foreign()
    p = t.start("α", ECHO, "10")
    t.wait("α:10")
    q = t.start("β", SLEEP)
    rows = until(lambda: len(net.rows()) == 2 and net.rows())
    assert sorted(rows) == ["α", "β"] and len(set(rows.values())) == 1, rows
    p.kill()
    p.wait()
    until(lambda: list(net.rows()) == ["β"])
    q.kill()
    q.wait()
    until(lambda: not net.rows())


def test_a_host_is_in_the_registry_before_its_program_runs(t):
    net = t.foreign()
    p = t.start("α", "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute('SELECT hostname FROM hosts').fetchall())\n", net.path)
    assert p.communicate()[0] == "[('α',)]\n"


def test_the_network_takes_its_registry_along_unless_others_need_it(t):
    t.run("α", "")
    t.lonet("down")
    until(lambda: not os.path.exists(t.dir))
    g = t.foreign().host("γ")
    t.run("α", "")
    t.lonet("down")
    until(lambda: not os.path.exists(t.dir + "/control"))
    assert g.net.rows() == {"γ": g.os}


def test_a_name_that_lives_elsewhere_is_taken(t):
    g = t.foreign().host("γ")
    done = t.lonet("run", "--host", "γ", "--", "true", check=False)
    assert done.returncode == 125 and "host already registered" in done.stderr, done
    done = t.lonet("run", "--host", "Γ", "--", "true", check=False)
    assert done.returncode == 125 and "host already registered" in done.stderr, done
    assert g.net.rows() == {"γ": g.os}
    # Without `lonet run` it is bind that fails.
    assert t.run("α", "import os, socket, subprocess, sys\nenv = dict(os.environ, LONET_HOST='γ')\n"
                 "p = subprocess.run([sys.executable, '-c', 'import socket; socket.create_server((\"\", 1))'], env=env, capture_output=True)\n"
                 "print(p.returncode, b'99' in p.stderr)\n") == "1 True\n"


def test_the_reference_finds_our_name_taken(t):
    net = t.foreign()
    t.start("α", ECHO, "10")
    t.wait("α:10")
    try:
        net.host("α")
        raise AssertionError("registered twice")
    except sqlite3.IntegrityError:
        pass


def test_the_row_of_the_dead_is_reclaimed_and_the_log_says_so(t):
    net = t.foreign()
    g = net.host("γ")
    g.close(withdraw=False)
    assert net.rows() == {"γ": g.os}
    t.start("γ", SLEEP)
    until(lambda: net.rows().get("γ", g.os) != g.os)
    assert "reclaimed" in t.log(), t.log()


def test_rows_of_a_killed_lonetd_are_taken_up_or_swept(t):
    net = t.foreign()
    p = t.start("α", ECHO, "10")
    q = t.start("β", SLEEP)
    t.wait("α:10")
    until(lambda: len(net.rows()) == 2)
    os.kill(t.daemon(), signal.SIGKILL)
    q.kill()
    q.wait()
    t.lonet("run", "--host", "δ", "--", "true")
    until(lambda: list(net.rows()) == ["α"])
    conn, _, _ = net.host("γ").dial("α", 10, b"again")
    assert conn.recv(10) == b"again"
    assert p.poll() is None


def test_a_dial_is_refused_from_the_death_of_lonetd_until_somebody_asks(t):
    net = t.foreign()
    t.start("α", ECHO, "10")
    t.wait("α:10")
    died = os.pidfd_open(t.daemon())
    signal.pidfd_send_signal(died, signal.SIGKILL)
    select.select([died], [], [])
    os.close(died)
    try:
        socket.create_connection(net.address("α"))
        raise AssertionError("somebody answers")
    except ConnectionRefusedError:
        pass
    t.ls()
    # What the dead one had entered is taken out first.
    until(lambda: "α" in net.rows())
    conn, _, _ = net.host("γ").dial("α", 10, b"x")
    assert conn.recv(1) == b"x"


def test_odd_rows_fail_that_host_alone(t):
    net = t.foreign()
    g = net.host("γ")
    g.listen(7, lambda c, local, remote: c.sendall(b"fine"))
    odd = {"null": None, "portless": "127.0.0.1", "far": "10.0.0.1:80", "six": "[::1]:80", "number": 7, "words": "hello"}
    for name, value in odd.items():
        net.query("INSERT INTO hosts VALUES (?, ?)", name, value)
    net.query("INSERT INTO hosts VALUES (NULL, NULL)")
    for name in odd:
        out = t.run("α", "import socket, sys\ntry: socket.create_connection((sys.argv[1] + '.lonet', 7)); print('no')\n"
                    "except OSError as e: print(type(e).__name__)\n", name)
        assert out == "gaierror\n", (name, out)
        assert 'the row of host "%s"' % name in t.log(), t.log()
        assert t.lonet("run", "--host", name, "--", "true", check=False).returncode == 125
    assert t.run("α", "import socket\nprint(socket.create_connection(('γ.lonet', 7)).recv(9))\n") == "b'fine'\n"
    assert list(h for h in t.ls() if h != "α") == ["γ"], t.ls()


def test_another_networks_registry_is_refused(t):
    net = t.foreign()
    net.query("UPDATE meta SET value = 'other' WHERE name = 'network'")
    done = t.lonet("run", "--host", "α", "--", "true", check=False)
    assert done.returncode == 125 and "network name mismatch" in done.stderr, done


def test_a_locked_registry_delays_nobody_who_does_not_need_it(t):
    for journal in "WAL", "DELETE":
        net = t.foreign(journal)
        assert net.query("PRAGMA journal_mode") == [(journal.lower(),)]
        p = t.start("α", ECHO, "10")
        q = t.start("β", SLEEP)
        t.wait("α:10")
        until(lambda: len(net.rows()) == 2)
        t.net = None
        lock = net.open()
        lock.isolation_level = None
        lock.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        # Hosts that are up, and names that they have.
        out = t.run("α", """
import socket
for i in range(20):
    s = socket.create_connection(("α.lonet", 10)); s.sendall(b"x"); assert s.recv(1) == b"x"; s.close()
print("quick")
""")
        # Each of them would wait a second or two if it asked the registry.
        assert out == "quick\n" and time.monotonic() - begin < 10, time.monotonic() - begin
        # A new host waits a moment to hear that nobody has its name, and comes up all the same.
        t.run("δ", "")
        assert time.monotonic() - begin < 15
        lock.execute("COMMIT")
        lock.close()
        until(lambda: sorted(net.rows()) == ["α"] or sorted(net.rows()) == ["α", "β"])
        for x in p, q:
            x.kill()
            x.wait()
        until(lambda: not net.rows())
        t.lonet("down", check=False)
        until(lambda: not os.path.exists(t.dir + "/control"))
        until(lambda: not os.path.exists(net.path))


def test_names_in_any_spelling_find_foreign_hosts(t):
    net = t.foreign()
    for name in "Straße", "bücher":
        net.host(name).listen(7, lambda c, local, remote: c.sendall(local.encode()))
    out = t.run("α", """
import socket
for name in "straße", "STRASSE", "strasse", "bücher", "xn--bcher-kva", "BÜCHER.":
    print(socket.create_connection((name.rstrip(".") + ".lonet", 7)).recv(50).decode())
""")
    assert out.split("\n") == ["Straße:7"] * 3 + ["bücher:7"] * 3 + [""], out
    assert {"Straße", "bücher"} <= set(t.ls())


def test_strict_names_know_foreign_hosts(t):
    t.foreign().host("γ")
    out = t.run("α", """
import socket
print(socket.gethostbyname("γ.lonet")[:4])
try: socket.gethostbyname("nobody.lonet")
except socket.gaierror as e: print("nobody")
""", env={"LONET_NAMES": "strict"})
    assert out == "127.\nnobody\n", out


def test_foreign_hosts_are_listed_while_they_live(t):
    g = t.foreign().host("γ")
    t.start("α", SLEEP)
    until(lambda: "α" in t.ls())
    assert t.ls()["γ"]["foreign"] is True and t.ls()["γ"]["sockets"] == []
    g.close(withdraw=False)
    assert "γ" not in t.ls()


if __name__ == "__main__":
    main(globals())
