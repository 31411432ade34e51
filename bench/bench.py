"""lonet against the bare kernel and against socket_wrapper; called by scripts/bench, which see.

Each round makes every piece of work three times, one after the other: A on the bare kernel, B under lonet, C under
socket_wrapper; and some of it once more, D, under lonet as on a kernel before 6.3, where a dial cannot ask for its source
port (c-tests/old_kernel.c), and E, supervised. What is told of B to E is the median of its ratios to A in the same
round, as the speed of a machine changes from minute to minute, and beside it the spread: the quartiles of those ratios. Every round has another host,
and on the bare kernel another address, so that connections in TIME_WAIT do not slow the next one down.

What else the machine does can only make a piece of work slower, so within a round the fastest counts: of several
turns that A, B and C take (servers of all three run at the same time, their clients take turns), or of the batches that
a program makes of what is short.
"""

import contextlib
import datetime
import itertools
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

from network import Cut, lonetd_time, lonetd_wakeups, machine_after, start_of_a_program
from servers import Handshakes, Nginx, NginxAnew, NginxOfAnother, Postgres, PostgresAnew, Redis, RedisAnew
from setting import BIN, NETWORK, PROGRAMS, ROOT, WORK, Failed, Setting, clean_up, start_spinners, stop

QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 9
TURNS = 5
NUMBERS = itertools.count()
SERIALS = itertools.count(1)


def program(name, *arguments):
    return lambda setting: float(setting.run(PROGRAMS / name, *arguments))


def cold_start(setting):
    """From the command to the first accepted connection, in a network that is not running."""
    setting.environment["LONET_NETWORK"] = f"{NETWORK}cold{next(NUMBERS)}"
    begin = time.monotonic() * 1e6
    return float(setting.run(PROGRAMS / "calls", "accepted")) - begin


def traced(name, *arguments):
    """The same work, under lonet while the network's events are recorded."""

    def work(setting):
        if setting.name == "A":
            return program(name, *arguments)(setting)
        setting.lonet("trace", "--start")
        try:
            return program(name, *arguments)(setting)
        finally:
            setting.lonet("trace", "--stop")

    return work


def size(_):
    stripped = WORK / "stripped.so"
    subprocess.run(["strip", "-o", stripped, BIN / "liblonet.so"], check=True)
    return stripped.stat().st_size / 1024


class Row:
    """A line of the table.

    how: what is told of B and C: the "ratio" to A, what it takes "more" than A, or the figure "as is"; or, where it
    is a row, the ratio to that row. limit: what B is to reach; supervised: what E is. work: a function of a setting, or a class of `servers`.
    turns: so many times in a round. why: what is said where it is missed.
    """

    def __init__(self, what, unit, how, limit, work, settings="ABC", rounds=ROUNDS, turns=1, why=None, supervised=None):
        self.what, self.unit, self.how, self.limit, self.work = what, unit, how, limit, work
        self.settings, self.rounds = settings, rounds
        self.turns = 1 if QUICK else work.turns if isinstance(work, type) else turns
        self.why = f": {why}" if why else ""
        self.supervised = supervised
        self.got = {name: [] for name in settings}
        self.failed = {}

    def one_round(self, serial):
        """Measures all settings once; what fails is not tried again."""
        names = [name for name in self.settings if name not in self.failed]
        settings = {name: Setting(name, serial * 5 + i) for i, name in enumerate(names)}
        with contextlib.ExitStack() as servers:
            running, best = {}, {}
            for turn in range(self.turns):
                for name in names:
                    if name in self.failed:
                        continue
                    try:
                        if isinstance(self.work, type):
                            if turn == 0:
                                running[name] = servers.enter_context(self.work(settings[name], QUICK))
                            took = running[name].load()
                        else:
                            took = self.work(settings[name])
                        best[name] = min(took, best.get(name, took))
                    except (Failed, subprocess.TimeoutExpired, subprocess.CalledProcessError) as e:
                        self.failed[name] = str(e)
                        print(f"{self.what}: {name} fails: {e}", file=sys.stderr)
        for name, value in best.items():
            self.got[name].append(value)

    def figures(self, name):
        """What is to be told of B to E, each round for itself."""
        base = self.how.got["B"] if isinstance(self.how, Row) else self.got.get("A", [])
        if self.how == "as is":
            return self.got[name]
        pairs = zip(base, self.got[name])
        return [x - a for a, x in pairs] if self.how == "more" else [x / a for a, x in pairs]

    def told(self, name):
        if name not in self.settings:
            return "–"
        values = self.figures(name) if name not in self.failed else []
        if not values:
            return "fails"
        show = number if self.how in ("as is", "more") else (lambda x: f"{x:.2f}")
        text = ("+" if self.how == "more" and statistics.median(values) >= 0 else "") + show(statistics.median(values))
        if len(values) > 2:
            low, _, high = statistics.quantiles(values, n=4)
            text += f" ({show(low)} – {show(high)})"
        return text

    def verdict(self, name, limit):
        if limit is None:
            return ""
        if name in self.failed or not self.figures(name):
            return "missed: fails"
        # As it is shown, and no more exact than that.
        digits = 2 if self.how not in ("as is", "more") else 3
        return "met" if round(statistics.median(self.figures(name)), digits) <= limit else "missed"

    def told_of_supervised(self):
        """With its own target, which has no column."""
        is_told = self.supervised is not None and "E" in self.settings
        return self.told("E") + (f"; ≤ {self.supervised:,} {self.verdict('E', self.supervised)}" if is_told else "")


def some(n):
    return n // 20 if QUICK else n


def rows():
    few = min(ROUNDS, 4)
    n, calls, kept, anew = some(2000), some(200_000), ("ratio", 1.01), ("ratio", 1.35)
    dial = ("ratio", 1.6)
    ten = Row("dial, 10 connections open", "µs", "as is", None, program("dials", n, 1, 0, 10), "AB", few, turns=TURNS)

    def held(count, text, rounds):
        work = program("dials", n, 1, 0, min(count, 1000) if QUICK else count)
        # One turn where it takes long to open them.
        return Row(f"dial, {text} open", "µs", ten, 1.3, work, "AB", rounds, turns=TURNS if count <= 1000 else 1)

    # Workers that have given up the uid of the network's owner, as root's have.
    others = [Row("the same, workers of another uid", "µs", "ratio", None, NginxOfAnother, "AB", few)] if os.geteuid() == 0 else []
    blocking = Row("connect + accept + close, blocking", "µs", *dial, program("dials", n), "ABCDE", turns=TURNS, supervised=3)
    courier = "a courier is a second connection, see Floors in bench/README.md"
    return [
        blocking,
        Row("the same, epoll, 64 in flight", "µs", *dial, program("dials", n, 1, 64), "ABCDE", turns=TURNS, supervised=3),
        Row("the same, 8 clients", "µs", *dial, program("dials", n, 8), "ABCDE", turns=TURNS, supervised=3),
        Row("connect + accept + close, blocking, traced", "µs", blocking, 1.25, traced("dials", n), "AB", turns=TURNS),
        # Throughputs of at least 0.99, and with one connection a request 0.85, as times.
        Row("ping-pong of 1 byte", "µs", *kept, program("stream", "ping", some(4000)), turns=TURNS),
        Row("stream of 64 KiB writes, a MiB", "µs", *kept, program("stream", "bulk", some(200)), turns=TURNS),
        Row("getsockname", "µs", "as is", 2, program("calls", "sockname", calls)),
        Row("getpeername", "µs", "as is", 2, program("calls", "peername", calls)),
        Row("close of what is no lonet socket", "µs", "more", 0.01, program("calls", "close", 5 * calls)),
        Row("connect to no lonet address", "µs", "more", 0.2, program("calls", "elsewhere", calls)),
        Row("valve of a socket, without faults", "µs", "as is", 1, program("calls", "valve", calls), "AB"),
        Row("getaddrinfo of a lonet name", "µs", "as is", 100, program("calls", "resolve", some(2000)), "B"),
        Row("start of a program by its command", "µs", "more", None, start_of_a_program, "ABE", turns=TURNS, supervised=3_000),
        Row("exec of /bin/true", "µs", "more", 500, program("calls", "spawn", some(200))),
        Row("join: first bind of a process", "µs", "as is", 300, program("calls", "join"), "B", turns=TURNS),
        Row("cold start to the first accept", "µs", "as is", 20_000, cold_start, "B", turns=3),
        Row("memory of a process", "KiB", "more", 1024, program("calls", "rss"), rounds=3 * ROUNDS),
        Row("memory after mlockall", "KiB", "more", 65_536, program("calls", "locked")),
        Row("liblonet.so, stripped", "KiB", "as is", 1024, size, "B", 1),
        ten,
        held(1000, "1,000", few),
        held(50_000, "50,000", min(ROUNDS, 3)),
        Row("the machine's own connect + accept + close after 28,000 dials", "µs", "ratio", None, machine_after("own", some(28_000)), "AB", min(ROUNDS, 3)),
        Row("the machine's own bind to port 0 after them", "µs", "ratio", None, machine_after("anyport", some(28_000)), "AB", min(ROUNDS, 3)),
        Row("lonetd's processor time, 100,000 dials", "ms", "as is", 600, lonetd_time(some(100_000)), "B", 2),
        Row("lonetd's wake-ups meanwhile", "1/s", "as is", 1000, lonetd_wakeups(some(100_000)), "B", 2),
        Row("cut of 10,000 sockets", "ms", "as is", 200, Cut, "B", few),
        Row("foreign handshake; kernel: plain accept", "µs", "ratio", 2, Handshakes, "AB", few, why=courier),
        Row("redis-benchmark, kept connections", "µs", *kept, Redis, "ABC", few),
        Row("redis-benchmark, one connection a request", "µs", *anew, RedisAnew, "ABCD", few),
        Row("ab against nginx, kept connections", "µs", *kept, Nginx, "ABC", few),
        Row("ab against nginx, one connection a request", "µs", *anew, NginxAnew, "ABCD", few),
        *others,
        Row("pgbench, kept connections", "µs", *kept, Postgres, "AB", few),
        Row("pgbench, one connection a transaction", "µs", *anew, PostgresAnew, "ABD", few),
    ]


def number(x):
    if abs(x) >= 1000:
        return f"{x:,.0f}"
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.3f}"


def table(all_rows):
    lines = [
        "| work | unit | kernel | lonet | target | | before 6.3 | supervised | socket_wrapper |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in all_rows:
        a = number(statistics.median(row.got["A"])) if row.got.get("A") else "–"
        if isinstance(row.how, Row):
            how = f"; × {row.how.what}"
        else:
            how = {"ratio": "; × kernel", "more": "; more than kernel", "as is": ""}[row.how]
        target = "" if row.limit is None else f"≤ {row.limit:,}"
        verdict = row.verdict("B", row.limit)
        verdict += row.why if verdict.startswith("missed") else ""
        cells = [row.what, row.unit + how, a, row.told("B"), target, verdict, row.told("D"), row.told_of_supervised(), row.told("C")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*: (.*)", info.read())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"{' '.join(platform.libc_ver())}; load {os.getloadavg()[0]:.1f} at the start; "
        f"commit {commit.stdout.strip() or 'unknown'}"
    )


def write_results(text, started_on, took):
    """The table and how it came about; what somebody wrote below it, from the first "## " on, stays."""
    results = ROOT / "bench/RESULTS.md"
    notes = results.read_text().partition("\n## ")[2] if results.exists() else ""
    today = datetime.datetime.now(datetime.timezone.utc)
    head = (
        "# Measured\n\nWritten by `scripts/bench` (what each line is and how it is measured: bench/README.md) on "
        f"{today:%Y-%m-%d}, in {took / 60:.0f} minutes: {started_on}.\n"
        f"Medians; in brackets the quartiles of {ROUNDS} rounds, of fewer where a round takes long.\n\n"
    )
    results.write_text(head + text + "\n" + ("\n## " + notes if notes else ""))


def measure(all_rows, busy):
    """Goes through the rows in rounds."""
    started = time.monotonic()
    spinners = start_spinners(busy)
    try:
        for round_number in range(max(r.rounds for r in all_rows)):
            for row in all_rows:
                if round_number < row.rounds:
                    row.one_round(next(SERIALS))
            print(f"round {round_number + 1}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    finally:
        for spinner in spinners:
            stop(spinner, signal.SIGKILL)


def main():
    started, where = time.monotonic(), machine()
    words = [w for w in sys.argv[1:] if not w.startswith("-")]
    all_rows = [r for r in rows() if not words or any(w in r.what for w in words)]
    # On a busy machine what waits for another process waits longer: that concerns what makes connections.
    busy_rows = [r for r in rows() if r.settings.startswith("ABCD")] if not words or "--busy" in sys.argv else []
    # Somebody has to stay, or the network would end between two programs.
    keeper = Setting("B", 0).start("sleep", "100000")
    try:
        if "--busy" not in sys.argv:
            measure(all_rows, False)
        if busy_rows:
            measure(busy_rows, True)
    finally:
        stop(keeper)
        clean_up()
    parts = [table(all_rows)] if "--busy" not in sys.argv else []
    if busy_rows:
        parts.append(f"Beside {len(os.sched_getaffinity(0))} processes that keep the processors busy:\n\n" + table(busy_rows))
    text = "\n\n".join(parts)
    print(text)
    if not QUICK and not words and "--busy" not in sys.argv:
        write_results(text, where, time.monotonic() - started)
    return 1 if any("B" in r.failed for r in all_rows + busy_rows) else 0


sys.exit(main())
