"""What a network costs beside the programs' own calls: lonetd's work, a cut of many sockets, the machine's own ports."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from setting import NETWORK, PROGRAMS, Setting, stop, until

# Holds connections until its standard input ends: `hold.py serve`, on its host's port 80, or `hold.py HOST N`.
HOLD = Path(__file__).parent / "hold.py"


def lonetd():
    """The pid of the daemon of the benchmarks' network."""
    found = subprocess.run(["pgrep", "-f", f"^lonetd daemon --network {NETWORK} "], capture_output=True, text=True, check=True)
    return int(found.stdout)


def lonetd_time(n):
    """Milliseconds of processor time that lonetd uses while n connections are made and closed."""

    def work(setting):
        used = Path(f"/proc/{lonetd()}/schedstat")
        before = int(used.read_text().split()[0])
        setting.run(PROGRAMS / "dials", n)
        return (int(used.read_text().split()[0]) - before) / 1e6

    return work


def lonetd_wakeups(n):
    """How often in a second lonetd wakes up meanwhile."""

    def switches(pid):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])

    def work(setting):
        pid = lonetd()
        before, begin = switches(pid), time.monotonic()
        setting.run(PROGRAMS / "dials", n)
        return (switches(pid) - before) / (time.monotonic() - begin)

    return work


def machine_after(what, n):
    """Microseconds of a call of the machine's own (see calls.c) after n connections of the setting's."""

    def work(setting):
        setting.run(PROGRAMS / "dials", n)
        return float(Setting("A", setting.number).run(PROGRAMS / "calls", what))

    return work


def start_of_a_program(setting):
    begin = time.monotonic()
    setting.run("true")
    return (time.monotonic() - begin) * 1e6


class Cut:
    """Milliseconds of `lonet cut` with so many sockets at both ends together, of two hosts that hold connections."""

    turns, sockets = 1, 10_000

    def __init__(self, setting, quick):
        self.setting, self.count = setting, (self.sockets // 100 if quick else self.sockets) // 2

    def __enter__(self):
        other = Setting("B", f"{self.setting.number}o")
        with contextlib.ExitStack() as started:
            server = hold(started, self.setting, "serve", self.count)
            client = hold(started, other, self.setting.address, self.count)
            for process in (server, client):
                if process.stdout.readline() != "holds\n":
                    raise RuntimeError("no connections to cut")
            self.started, self.other = started.pop_all(), other
        return self

    def load(self):
        ends = [f"h{self.setting.number}", f"h{self.other.number}"]
        begin = time.monotonic()
        self.setting.lonet("cut", *ends)
        took = (time.monotonic() - begin) * 1e3
        self.setting.lonet("heal", *ends)
        return took

    def __exit__(self, *_):
        self.started.close()


def hold(started, setting, where, count):
    process = subprocess.Popen(
        [*setting.prefix, sys.executable, HOLD, where, str(count)],
        env=setting.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    started.callback(stop, process)
    return process
