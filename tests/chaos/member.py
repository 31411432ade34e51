"""A member of the network under load: a program of one host, as `runner.py` starts it.

    member.py SEED PORTS DESTINATIONS

PORTS, with commas, are listened on; 0 is autobind. A member with DESTINATIONS (host:port, with commas) works by itself,
as chance has it: it dials, talks, closes, binds, listens and forks. Each connection begins with a greeting in which the
server says its pid and who calls, as accept had it; the caller compares that with its own name. Then the server
says back what it is told.

A line on stdin is a command, answered by a line of JSON on stdout:

    hold         it does nothing by itself any more
    talk         it says something on each connection that it dialed, and waits for the answer
    report       its sockets, each as [port, state, peer], and what went wrong since the last report
    autobind     the port that the next autobind gives; it is closed again
    dial         the port that the next dial to the first destination has, or the name of the error
    go           it works on
"""

import errno
import json
import os
import random
import select
import socket
import sys

GREETING = 64
ANSWERS_WITHIN = 30
# What a program without a host binds is the machine's.
MOST_DIALED, MOST_KEPT = 8, 4 if "LONET_HOST" in os.environ else 0

chance = random.Random(int(sys.argv[1]))
destinations = [d.split(":") for d in sys.argv[3].split(",") if d]
addresses = {}
listeners, accepted, dialed, kept, troubles = [], [], [], [], []
talks = 0


def trouble(kind, **more):
    troubles.append({"kind": kind, **more})


def listen(port):
    while True:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        try:
            server.listen(64)
        except OSError as e:
            if e.errno != errno.EADDRINUSE or "OUTSIDERS" not in os.environ:
                raise
            # One has taken the address between the two calls, as anybody can on any machine.
            server.close()
            continue
        server.setblocking(False)
        return server


def serve(listener):
    while True:
        try:
            connection, (ip, port) = listener.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:
            # Somebody who is not let in: the next one may be.
            continue
        greeting = f"{os.getpid()} {ip} {port}".ljust(GREETING).encode()
        try:
            connection.sendall(greeting)
            # Nobody of the network calls from there, as nobody dials its own loopback.
            is_outside = ip == "127.0.0.1"
        except ConnectionResetError:
            # Nobody of the network does that: who is killed still takes a greeting.
            is_outside = True
        if is_outside:
            trouble("outsider", accept=[ip, port])
            connection.close()
            continue
        accepted.append(connection)


def answer(connection):
    try:
        said = connection.recv(4096)
        if said:
            connection.sendall(said)
            return
    except ConnectionError:
        pass
    accepted.remove(connection)
    connection.close()


def attend(seconds):
    """Serves whoever wants something; whether there is a command."""
    while True:
        ready = select.select([sys.stdin, *listeners, *accepted], [], [], seconds)[0]
        for one in ready:
            if one is sys.stdin:
                continue
            serve(one) if one in listeners else answer(one)
        if sys.stdin in ready:
            return True
        if not ready or seconds:
            return False


def listen_to(connection, size):
    """Its next `size` bytes, fewer at its end. Meanwhile others are served: the other end may be this program's."""
    got = b""
    while len(got) < size:
        ready = select.select([connection, *listeners, *accepted], [], [], ANSWERS_WITHIN)[0]
        if not ready:
            raise TimeoutError(errno.ETIMEDOUT, "no answer")
        for one in ready:
            if one is connection:
                more = connection.recv(size - len(got))
                got += more
                if not more:
                    return got
            else:
                serve(one) if one in listeners else answer(one)
    return got


def connect(to):
    """Blocking or not, as chance has it; the socket, or an OSError."""
    s = socket.socket()
    try:
        if chance.random() < 0.5:
            s.settimeout(None)
            s.connect(to)
            return s
        s.setblocking(False)
        error = s.connect_ex(to)
        if error == errno.EINPROGRESS:
            if not select.select([], [s], [], ANSWERS_WITHIN)[1]:
                raise TimeoutError(errno.ETIMEDOUT, "no answer")
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        s.setblocking(True)
        return s
    except OSError:
        s.close()
        raise


def dial(host, port):
    if host not in addresses:
        addresses[host] = socket.gethostbyname(host + ".lonet")
    try:
        s = connect((addresses[host], int(port)))
    except OSError as e:
        trouble("refused", host=host, error=errno.errorcode[e.errno])
        return
    try:
        me, greeting = s.getsockname(), listen_to(s, GREETING).split()
    except OSError as e:
        trouble("reset", host=host, error=errno.errorcode[e.errno])
        s.close()
        return
    if len(greeting) < 3:
        trouble("reset", host=host, error="end")
        s.close()
        return
    if (greeting[1].decode(), int(greeting[2])) != me:
        trouble("misnamed", accept=[word.decode() for word in greeting[1:]], caller=me)
    dialed.append((s, int(greeting[0])))


def talk(one):
    global talks
    s, server = one
    said = b"%d" % chance.randrange(10**9)
    talks += 1
    try:
        s.sendall(said)
        heard = listen_to(s, len(said))
        if heard == said:
            return
        error = "heard " + repr(heard) if heard else "end"
    except OSError as e:
        error = errno.errorcode[e.errno]
    dialed.remove(one)
    s.close()
    trouble("broken", server=server, error=error)


def first_free():
    """The port of a listener without a bind."""
    s = socket.socket()
    s.listen()
    port = s.getsockname()[1]
    s.close()
    return port


def autobind():
    """A bound socket. bind to port 0 passes over what this process has closed unused: its ports go up."""
    s = socket.socket()
    s.bind(("", 0))
    return s


def fork():
    """A child that holds everything for a moment, and is gone."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def work():
    """One thing or another."""
    what = chance.random()
    if what < 0.35 and len(dialed) < MOST_DIALED:
        dial(*chance.choice(destinations))
    elif what < 0.55 and dialed:
        dialed.pop(chance.randrange(len(dialed)))[0].close()
    elif what < 0.7 and len(kept) < MOST_KEPT:
        kept.append(autobind() if chance.random() < 0.5 else listen(0))
    elif what < 0.8 and kept:
        kept.pop(chance.randrange(len(kept))).close()
    elif what < 0.82:
        fork()
    elif dialed:
        talk(chance.choice(dialed))


def shown(s):
    if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return [s.getsockname()[1], "listening", None]
    try:
        return [s.getsockname()[1], "connected", "%s:%d" % s.getpeername()]
    except OSError:
        return [s.getsockname()[1], "bound", None]


def report():
    global talks
    attend(0)
    said = {
        "sockets": [shown(s) for s in listeners + kept + [s for s, _ in dialed]],
        "accepted": [shown(s) for s in accepted],
        "troubles": troubles.copy(),
        "talks": talks,
    }
    troubles.clear()
    talks = 0
    return said


def probe():
    """The port that a dial has."""
    s = socket.socket()
    try:
        s.connect((addresses.setdefault(destinations[0][0], socket.gethostbyname(destinations[0][0] + ".lonet")),
                   int(destinations[0][1])))
        port = s.getsockname()[1]
        listen_to(s, GREETING)
        return port
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        s.close()


def obey(command):
    global works
    if command == "hold":
        works = False
    elif command == "go":
        works = True
    elif command == "talk":
        for one in dialed.copy():
            talk(one)
    elif command == "report":
        return report()
    elif command == "autobind":
        return first_free()
    elif command == "dial":
        return probe()
    return "ok"


for port in sys.argv[2].split(","):
    if port:
        listeners.append(listen(int(port)))
works = False
print(json.dumps("ready"), flush=True)
while True:
    if not attend(0 if works and destinations else None):
        if works and destinations:
            work()
        continue
    # One command at a time is on its way: readline leaves nothing in its buffer that select would not see.
    line = sys.stdin.readline()
    if not line:
        break
    print(json.dumps(obey(line.strip())), flush=True)
