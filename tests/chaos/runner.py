#!/usr/bin/env python3
"""Kills random members of a network under load, and looks after each kill whether anybody else noticed.

    runner.py SECONDS SEED [--outsiders[=DOOR,…]]

Servers, clients and lonetd are killed with SIGKILL, alone or together, while all others work (member.py). Then these are
held, and it must be true that

  * no connection broke whose two ends live, and each server was told the caller's true name;
  * nothing was refused or reset but by who has died;
  * `lonet ls` shows the very sockets that the living have: no port is held by the dead, and none is lost;
  * no port of a host is held twice;
  * the next autobind, and the next dial, of each host gets the first port that nobody holds;
  * one lonetd serves them.

With --outsiders, for root alone, processes of another user are at all doors of the network meanwhile (outsider.py,
outsiders.py), and all of this must be true all the same; besides,

  * no outsider is ever sent a byte by a server, or an answer by lonetd that is no refusal;
  * `lonet ls` shows none, and none gets at the network's files.

The seed decides who is killed, when, and what members do; how their steps interleave is the machine's to decide, so a
failure may take several runs to come again. The figures are printed at the end.
"""

import collections
import json
import os
import random
import select
import signal
import subprocess
import sys
import time

from outsiders import BAIT, DOORS, Outsiders
from verdict import Wrong, check

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORK = os.environ["LONET_NETWORK"]
# Whoever is asked and does not answer in this time is stuck.
ANSWERS_WITHIN = 60
SERVERS = ["s1", "s2", "s3"]
# Out of the way of those that autobind gives beside a server.
PORTS = [30080, 30081]
DESTINATIONS = ",".join(f"{host}:{port}" for host in SERVERS for port in PORTS)

chance = random.Random(int(sys.argv[2]))
figures = collections.Counter()


class Member:
    """A program. `host` None: no host is given, and it is one by its dials alone."""

    def __init__(self, name, host, ports=""):
        self.name, self.host, self.ports = name, host, ports
        self.is_server = bool(ports)
        # Servers do nothing by themselves: what they hold is in nobody's way when they are started anew.
        self.destinations = "" if ports else DESTINATIONS
        self.process = None

    def start(self):
        command = ["lonet", "run", *(["--host", self.host] if self.host else []), "--", sys.executable, "-SE",
                   os.path.join(HERE, "member.py"), str(chance.randrange(2**31)), self.ports, self.destinations]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        start_new_session=True)
        self.received = b""

    @property
    def pid(self):
        return self.process.pid

    def send(self, command):
        os.write(self.process.stdin.fileno(), command.encode() + b"\n")

    def receive(self):
        out = self.process.stdout.fileno()
        end = time.monotonic() + ANSWERS_WITHIN
        while b"\n" not in self.received:
            check(select.select([out], [], [], max(0, end - time.monotonic()))[0], self.name, "is stuck")
            more = os.read(out, 65536)
            check(more, self.name, "ended by itself: exit code", self.process.poll())
            self.received += more
        line, self.received = self.received.split(b"\n", 1)
        return json.loads(line)

    def ask(self, command):
        self.send(command)
        return self.receive()

    def kill(self):
        # With the child that it may just have forked, which would hold its sockets for a moment longer.
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self):
        """Returns when it has died, and its children have."""
        self.process.wait()
        end = time.monotonic() + ANSWERS_WITHIN
        while group_lives(self.pid):
            check(time.monotonic() < end, "a child of", self.name, "does not die")
        self.process.stdin.close()
        self.process.stdout.close()


def group_lives(group):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                state, _, of = f.read().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(of) == group and state not in "ZX":
            return True
    return False


def ask_all(members, command):
    for m in members:
        m.send(command)
    return {m: m.receive() for m in members}


# ---------------------------------------------------------------------------------------------- lonetd


def lonetds():
    """The pids of those who serve the network."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[:1] == [b"lonetd"] and NETWORK.encode() in words:
            found.append(int(pid))
    return found


def kill_lonetd():
    """Whether there was one; it has died when this returns."""
    killed = False
    for pid in lonetds():
        try:
            fd = os.pidfd_open(pid)
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [])
            os.close(fd)
            killed = True
        except ProcessLookupError:
            pass
    return killed


# ---------------------------------------------------------------------------------------------- one round


def kill_somebody(members):
    """Kills as chance has it. Returns the members that have died, and what was done."""
    kind = chance.choices(
        ["lonetd", "lonetd twice", "a server", "a client", "a server and lonetd", "a client and lonetd", "a host"],
        [30, 10, 12, 20, 8, 12, 8])[0]
    if kind == "a host":
        host = chance.choice(members).host
        victims = [m for m in members if m.host == host]
    elif "server" in kind or "client" in kind:
        victims = [chance.choice([m for m in members if m.is_server == ("server" in kind)])]
    else:
        victims = []
    if "lonetd" in kind and chance.random() < 0.5:
        kill_lonetd()
        kind += " first" if victims else ""
    for m in victims:
        m.kill()
    if "lonetd" in kind:
        kill_lonetd()
    if kind == "lonetd twice":
        # The next one, while it starts.
        end = time.monotonic() + 0.2
        while time.monotonic() < end and not kill_lonetd():
            pass
    for m in victims:
        m.bury()
    return victims, kind


def look(members, dead_pids, dead_hosts, kind):
    """All that must be true, whoever has died."""
    ask_all(members, "hold")
    ask_all(members, "talk")
    reports = ask_all(members, "report")
    for m, report in reports.items():
        figures["connections talked on"] += report["talks"]
        for t in report["troubles"]:
            because = t.get("server") in dead_pids or t.get("host") in dead_hosts
            died = t.get("error") in ("ECONNREFUSED", "EHOSTUNREACH", "ECONNRESET", "EPIPE", "end")
            check(because and died, "after the death of", kind, m.name, "had", t)
            figures["troubles by a death"] += 1

    listing = subprocess.run(["lonet", "ls", "--json"], capture_output=True, text=True, timeout=ANSWERS_WITHIN)
    check(listing.returncode == 0, "lonet ls:", listing.stderr)
    listing = json.loads(listing.stdout)
    names = {h["address"]: h["name"] for h in listing["hosts"]}

    def by_name(peer):
        if peer:
            ip, port = peer.rsplit(":", 1)
            return f"{names.get(ip, ip)}:{port}"

    shown, true = collections.Counter(), collections.Counter()
    for h in listing["hosts"]:
        if h["name"] != BAIT:
            shown.update((s["pid"], s["port"], s["state"], s["peer"]) for s in h["sockets"])
    held = collections.defaultdict(set)
    for m, report in reports.items():
        true.update((m.pid, port, state, by_name(peer)) for port, state, peer in report["sockets"] + report["accepted"])
        for port, *_ in report["sockets"]:
            check(not m.host or port not in held[m.host], m.host, "port", port, "is held twice")
            held[m.host].add(port)
    for report, m in ((r, m) for m, r in reports.items()):
        # Those have the listener's port, and may outlive it.
        held[m.host].update(port for port, *_ in report["accepted"])
    check(shown == true, f"after the death of {kind} lonet ls shows, and nobody has:", dict(shown - true),
          "and does not show:", dict(true - shown), "pids of the dead:", sorted(dead_pids),
          "who lives:", {m.pid: m.name for m in reports})
    figures["sockets compared"] += sum(true.values())

    for host in sorted(h for h in held if h):
        m = next(m for m in members if m.host == host)
        first = next(p for p in range(1, 65536) if p not in held[host])
        how = "dial" if m.destinations and not dead_hosts and chance.random() < 0.5 else "autobind"
        got = m.ask(how)
        check(got == first, f"after the death of {kind} the next {how} of {host} gets", got, "and not", first,
              sorted(held[host]))
        figures["first free ports"] += 1
    end = time.monotonic() + ANSWERS_WITHIN
    while len(lonetds()) != 1:
        check(time.monotonic() < end, "lonetd is there", len(lonetds()), "times")


def outsiders_wanted(options):
    for option in options:
        name, _, doors = option.partition("=")
        check(name == "--outsiders", "what is", option)
        os.environ["OUTSIDERS"] = "1"
        return Outsiders(NETWORK, sys.argv[2], lonetds, doors.split(",") if doors else DOORS)


def run(seconds):
    members = [Member(f"server {host}", host, ",".join(map(str, PORTS))) for host in SERVERS]
    members += [Member(f"client {host}.{n}", host) for host, count in
                (("s1", 1), ("s3", 1), ("c1", 3), ("c2", 1)) for n in range(count)]
    members.append(Member("client without a host", None))
    # Before members are started, which have the environment.
    outsiders = outsiders_wanted(sys.argv[3:])
    try:
        for m in members:
            m.start()
            m.receive()
        if outsiders:
            outsiders.start()
            # It has called as somebody from outside.
            check(any(t["kind"] == "outsider" for r in ask_all(members, "report").values() for t in r["troubles"]),
                  "no server said that the owner has called")
        ask_all(members, "go")
        end, round_ends = time.monotonic() + seconds, 0
        away = set()
        while time.monotonic() < end:
            time.sleep(chance.random() ** 2 * 0.2)
            victims, kind = kill_somebody(members)
            figures["kills of " + kind] += 1
            figures["kills"] += 1
            pids = {m.pid for m in victims}
            away |= {m.host for m in victims if m.is_server}
            alive = [m for m in members if m not in victims]
            look(alive, pids, away, kind)
            if outsiders:
                outsiders.look()
            # The dead come back beside the living, who may or may not work already.
            at_once = chance.random() < 0.5
            away = {m.host for m in victims if m.is_server} if at_once else set()
            if at_once:
                ask_all(alive, "go")
            for m in sorted(victims, key=lambda m: not m.is_server):
                m.start()
                check(m.receive() == "ready", m.name)
                m.ask("go")
            if not at_once:
                ask_all(alive, "go")
        if outsiders:
            outsiders.end(figures)
    finally:
        for fault in outsiders.kill() if outsiders else []:
            print("besides, an outsider got in:", fault)
        for m in members:
            if m.process:
                m.kill()
        for m in members:
            if m.process:
                m.bury()


try:
    run(float(sys.argv[1]))
except Wrong as e:
    print("FAILED:", *e.args)
    print("figures until then:", dict(figures))
    sys.exit(1)
for what, count in sorted(figures.items()):
    print(f"{count:8} {what}")
