"""A lonet peer for tests: hosts of another process on a network, written from the protocol alone.

Standard library only. It shares nothing with lonet's own code, so that the two check each other.

    net = Network(directory, "mynet")        # <tmp>/lonet/mynet, where registry.db is
    host = net.host("γ")                     # announced in the registry, listening
    host.listen(80, handler)                 # handler(connection, local, remote) in a thread
    conn, local, remote = host.dial("α", 80)

Protocol (one line each way on the connection that then carries the data):

    > lonet "lonetmynet" dial "γ:1" "α:80"
    < lonet "lonetmynet" connected "α:1"     or    < lonet "lonetmynet" E "connection refused"
"""

import os
import socket
import sqlite3
import threading

SCHEMA = "lonet.1"
MAX_LINE = 1024


class Refused(ConnectionRefusedError):
    pass


class DialError(OSError):
    pass


def quote(text):
    """As the protocol quotes; enough for the names that tests use."""
    out = ['"']
    for c in text:
        if c in '"\\':
            out.append("\\" + c)
        elif c.isprintable():
            out.append(c)
        else:
            out.append("".join("\\x%02x" % b for b in c.encode("utf-8", "surrogateescape")))
    out.append('"')
    return "".join(out)


def unquote(text):
    """Reads one quoted string; the string and what follows it."""
    if not text.startswith('"'):
        raise ValueError("not quoted: %r" % text)
    out, i = bytearray(), 1
    while text[i] != '"':
        if text[i] != "\\":
            out += text[i].encode("utf-8", "surrogateescape")
            i += 1
            continue
        kind = text[i + 1]
        if kind in '"\\':
            out += kind.encode()
            i += 2
        elif kind == "x":
            out.append(int(text[i + 2 : i + 4], 16))
            i += 4
        elif kind in "uU":
            n = 4 if kind == "u" else 8
            out += chr(int(text[i + 2 : i + 2 + n], 16)).encode()
            i += 2 + n
        else:
            out += {"n": b"\n", "t": b"\t", "r": b"\r", "a": b"\a", "b": b"\b", "f": b"\f", "v": b"\v"}[kind]
            i += 2
    return out.decode("utf-8", "surrogateescape"), text[i + 1 :]


def read_line(conn):
    """One line and no byte more. b'' at the end of the connection."""
    line = b""
    while len(line) < MAX_LINE and not line.endswith(b"\n"):
        byte = conn.recv(1)
        if not byte:
            return b""
        line += byte
    return line


def split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


class Network:
    def __init__(self, directory, name, journal="WAL"):
        self.directory, self.name = directory, name
        self.full = "lonet" + name
        self.path = os.path.join(directory, "registry.db")
        self.hosts = []
        with self.open() as db:
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not tables:
                db.execute("PRAGMA journal_mode = %s" % journal)
                db.executescript(
                    """BEGIN IMMEDIATE;
                    CREATE TABLE IF NOT EXISTS hosts (hostname TEXT NON NULL PRIMARY KEY, osladdr TEXT NON NULL);
                    CREATE TABLE IF NOT EXISTS meta (name TEXT NON NULL PRIMARY KEY, value TEXT NON NULL);
                    INSERT OR IGNORE INTO meta VALUES ('schemaver', 'lonet.1');
                    INSERT OR IGNORE INTO meta VALUES ('network', '%s');
                    COMMIT;"""
                    % name
                )
            meta = dict(db.execute("SELECT name, value FROM meta"))
            assert meta == {"schemaver": SCHEMA, "network": name}, meta
        db.close()

    def open(self):
        return sqlite3.connect(self.path, timeout=10)

    def query(self, sql, *args):
        db = self.open()
        try:
            with db:
                return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def rows(self):
        return dict(self.query("SELECT hostname, osladdr FROM hosts"))

    def address(self, host):
        """Where a host is to be dialed, by the registry: (ip, port)."""
        rows = self.query("SELECT osladdr FROM hosts WHERE hostname = ?", host)
        if not rows:
            raise DialError("no such host: %s" % host)
        return split(rows[0][0])

    def host(self, name):
        host = Host(self, name)
        self.hosts.append(host)
        return host

    def close(self):
        for host in self.hosts:
            host.close()


class Host:
    """A host of this process, with a listener of its own."""

    def __init__(self, net, name):
        self.net, self.name = net, name
        self.ports, self.next = {}, 1
        self.requests = []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.os = "%s:%d" % self.socket.getsockname()
        net.query("INSERT INTO hosts (hostname, osladdr) VALUES (?, ?)", name, self.os)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self, withdraw=True):
        # shutdown first: a thread in accept would keep a closed listener alive.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        if withdraw:
            self.net.query("DELETE FROM hosts WHERE hostname = ? AND osladdr = ?", self.name, self.os)

    def listen(self, port, handler):
        """handler(conn, local, remote) gets each connection, in a thread of its own."""
        self.ports[port] = handler

    def answer_with(self, handler):
        """handler(conn, line) does the whole handshake, for peers that are slow or wrong."""
        self._handshake = handler

    def _serve(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(conn,), daemon=True).start()

    def _take(self, conn):
        try:
            with conn:
                line = read_line(conn)
                self.requests.append(line)
                self._handshake(conn, line)
        except (OSError, ValueError):
            pass

    def _handshake(self, conn, line):
        def reply(verb, argument):
            conn.sendall(("< lonet %s %s %s\n" % (quote(self.net.full), verb, quote(argument))).encode())

        if not line:
            return
        try:
            text = line.decode("utf-8", "surrogateescape")
            assert text.startswith("> lonet ")
            network, rest = unquote(text[8:])
            assert rest.startswith(" dial ")
            src, rest = unquote(rest[6:])
            dst, rest = unquote(rest[1:])
            assert rest == "\n"
        except (AssertionError, IndexError, ValueError):
            return reply("E", "protocol error: invalid dial request")
        if network != self.net.full:
            return reply("E", "protocol error: network mismatch")
        host, port = split(dst)
        if host != self.name:
            return reply("E", "address %s: no such host" % dst)
        handler = self.ports.get(port)
        if handler is None:
            return reply("E", "connection refused")
        local = "%s:%d" % (self.name, port)
        reply("connected", local)
        handler(conn, local, src)

    def request(self, host, port, source=None):
        if source is None:
            source, self.next = self.next, self.next + 1
        src = "%s:%d" % (self.name, source)
        dst = "%s:%d" % (host, port)
        return src, ("> lonet %s dial %s %s\n" % (quote(self.net.full), quote(src), quote(dst))).encode()

    def dial(self, host, port, data=b"", timeout=10, source=None):
        """The connection and the two addresses. `data` is pipelined behind the request."""
        src, line = self.request(host, port, source)
        conn = socket.create_connection(self.net.address(host), timeout=timeout)
        try:
            conn.sendall(line + data)
            return conn, src, self.connected(conn)
        except BaseException:
            conn.close()
            raise

    def connected(self, conn):
        """Reads the reply: the accepting address, or an exception."""
        line = read_line(conn).decode("utf-8", "surrogateescape")
        if not line:
            raise DialError("unexpected EOF")
        assert line.startswith("< lonet "), line
        network, rest = unquote(line[8:])
        verb, argument = rest[1:].split(" ", 1)
        argument, rest = unquote(argument)
        assert rest == "\n" and network == self.net.full, line
        if verb == "E":
            raise (Refused if argument == "connection refused" else DialError)(argument)
        assert verb == "connected", line
        return argument
