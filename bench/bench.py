"""lonet against the bare kernel and against socket_wrapper; called by scripts/bench, which see.

Each round runs every piece of work three times, one after the other: A on the bare kernel, B under lonet, C under
socket_wrapper. What is told of B and C is the median of its ratios to A in the same round, as the speed of a machine
changes from minute to minute, and beside it the spread: the quartiles of those ratios. Every round has another host,
and on the bare kernel another address, so that connections in TIME_WAIT do not slow the next one down.
"""

import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "target/release"
PROGRAMS = ROOT / "target/bench"
NETWORK = f"bench{os.getpid()}"
QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 9
WORK = Path(tempfile.mkdtemp(prefix="lonet-bench."))
os.chmod(WORK, 0o711)


class Failed(Exception):
    pass


class Setting:
    """Where a program runs: A, B or C, in one round."""

    def __init__(self, name, number):
        self.name, self.number = name, number
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("LONET_", "SOCKET_WRAPPER"))}
        self.environment.pop("LD_PRELOAD", None)
        self.prefix = []
        if name == "A":
            self.address = f"127.0.{number % 250 + 1}.1"
        elif name == "B":
            self.address = f"h{number}.lonet"
            self.prefix = [str(BIN / "lonet"), "run", "--host", f"h{number}", "--"]
            self.environment |= {"TMPDIR": str(WORK), "LONET_NETWORK": NETWORK}
        else:
            self.address = "127.0.0.10"
            directory = WORK / f"wrapper{number}"
            directory.mkdir(exist_ok=True)
            os.chmod(directory, 0o777)
            self.environment |= {
                "LD_PRELOAD": "libsocket_wrapper.so",
                "SOCKET_WRAPPER_DIR": str(directory),
                "SOCKET_WRAPPER_DEFAULT_IFACE": "10",
            }
        self.environment["BENCH_SERVER"] = self.address

    def run(self, *command, limit=60):
        done = subprocess.run(
            [*self.prefix, *map(str, command)], env=self.environment, capture_output=True, text=True, timeout=limit
        )
        if done.returncode != 0:
            raise Failed(f"{self.name}: {' '.join(map(str, command))}: {done.returncode} {done.stderr.strip()[-300:]}")
        return done.stdout

    def start(self, *command, log="log"):
        out = open(WORK / log, "w")
        return subprocess.Popen([*self.prefix, *map(str, command)], env=self.environment, stdout=out, stderr=out)


def program(name, *arguments):
    return lambda setting: float(setting.run(PROGRAMS / name, *arguments))


def stop(process, how=signal.SIGTERM):
    process.send_signal(how)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(what, limit=20):
    end = time.monotonic() + limit
    while True:
        try:
            return what()
        except Failed:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


# ------------------------------------------------------------------------------------------ whole programs


def redis(setting, keep):
    port = 6379 if setting.name == "B" else 16379
    server = setting.start(
        "redis-server", "--port", port, "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", WORK
    )
    try:
        at = ["-h", setting.address, "-p", port]
        until(lambda: setting.run("redis-cli", *at, "ping"))
        n = (2000 if QUICK else 30000) if keep else (500 if QUICK else 5000)
        out = setting.run(
            "redis-benchmark", *at, "-q", "--csv", "-t", "get", "-n", n, "-c", 20, "-k", int(keep)
        )
        return 1e6 / float(re.findall(r'"GET[^"]*","([0-9.]+)"', out)[-1])
    finally:
        stop(server)


def nginx(setting, client):
    port = 80 if setting.name == "B" else 16380
    directory = WORK / f"nginx-{setting.name}-{setting.number}"
    directory.mkdir(exist_ok=True)
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "conf").write_text(
        f"daemon off; worker_processes 1; pid {directory}/pid; events {{ worker_connections 1024; }}"
        f"http {{ access_log off; {temporary} keepalive_requests 1000000;"
        f'server {{ listen {port}; location / {{ return 200 "lonet\\n"; }} }} }}'
    )
    server = setting.start("nginx", "-e", directory / "error", "-c", directory / "conf", log="nginx")
    try:
        url = f"http://{setting.address}:{port}/"
        until(lambda: setting.run("curl", "-sS", "-o", directory / "page", url))
        if client == "wrk":
            out = setting.run("wrk", "-t", 1, "-c", 20, "-d", "1s", url)
            return 1e6 / float(re.search(r"Requests/sec:\s*([0-9.]+)", out)[1])
        out = setting.run("ab", "-q", "-n", 300 if QUICK else 4000, "-c", 8, url)
        return 1e6 / float(re.search(r"Requests per second:\s*([0-9.]+)", out)[1])
    finally:
        stop(server, signal.SIGQUIT)


def postgres(setting, connect):
    """One server for all rounds would favour who comes last: each has its own, from a copy of one empty cluster."""
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    port = 5432 if setting.name == "B" else 15432
    empty, data = WORK / "pg/empty", WORK / f"pg/{setting.name}"
    if not empty.exists():
        (WORK / "pg").mkdir()
        if user:
            os.chown(WORK / "pg", 65534, 65534)
        subprocess.run(
            [*user, "initdb", "-D", empty, "-U", "me", "-A", "trust", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=WORK,
        )
        with open(empty / "pg_hba.conf", "a") as hba:
            hba.write("host all all all trust\n")
    subprocess.run([*user, "cp", "-r", empty, data], check=True, cwd=WORK)
    server = setting.start(
        *user, "postgres", "-D", data, "-p", port, "-c", "listen_addresses=*", "-c", "fsync=off",
        "-c", f"unix_socket_directories={WORK}/pg", log="postgres",
    )
    try:
        at = ["-h", setting.address, "-p", port, "-U", "me"]
        until(lambda: setting.run("psql", *at, "-XAtqc", "select 1", "postgres"))
        query = WORK / "query.sql"
        query.write_text("select 1;\n")
        n = (100 if QUICK else 3000) if not connect else (20 if QUICK else 150)
        out = setting.run(
            "pgbench", *at, "-n", "-f", query, "-c", 4, "-t", n, *(["-C"] if connect else []), "postgres"
        )
        return 1e6 / float(re.search(r"tps = ([0-9.]+)", out)[1])
    finally:
        stop(server, signal.SIGINT)
        shutil.rmtree(data)


# ------------------------------------------------------------------------------------------ of lonet alone


def cold_start(setting):
    """From the command to the first accepted connection, in a network that is not running."""
    setting.environment["LONET_NETWORK"] = f"{NETWORK}cold{setting.number}"
    begin = time.monotonic() * 1e6
    return float(setting.run(PROGRAMS / "calls", "accepted")) - begin


def handshakes(setting):
    """A: a program that only accepts; B: lonetd and the program that gets the connection, as foreign peers see it."""
    port = 80 if setting.name == "B" else 16381
    server = setting.start(PROGRAMS / "handshakes", "serve", port, log="serve")
    seconds = 0.2 if QUICK else 1
    try:
        if setting.name != "B":
            until(lambda: setting.run(PROGRAMS / "handshakes", "dial", setting.address, port, 0, 1))
            return 1e6 / float(setting.run(PROGRAMS / "handshakes", "dial", setting.address, port, seconds, 4))
        base, host = WORK / "lonet" / NETWORK, f"h{setting.number}"
        setting.run(BIN / "lonet", "wait", f"{host}:{port}")
        registry = sqlite3.connect(base / "registry.db")
        found = registry.execute("select osladdr from hosts where hostname = ?", [host]).fetchone()
        request = f'> lonet "lonet{NETWORK}" dial "bench:1" "{host}:{port}"\n'
        plain = Setting("A", setting.number)
        return 1e6 / float(
            plain.run(PROGRAMS / "handshakes", "shake", *found[0].split(":"), seconds, 4, request)
        )
    finally:
        stop(server)


def size(_):
    stripped = WORK / "stripped.so"
    subprocess.run(["strip", "-o", stripped, BIN / "liblonet.so"], check=True)
    return stripped.stat().st_size / 1024


# ------------------------------------------------------------------------------------------ the table


class Row:
    """A line of the table. how: "ratio" to A, "more" than A, or "as is"; target: text."""

    def __init__(self, what, unit, how, target, measure, settings="ABC", rounds=None):
        self.what, self.unit, self.how, self.target = what, unit, how, target
        self.measure, self.settings, self.rounds = measure, settings, rounds or ROUNDS
        self.got = {name: [] for name in settings}
        self.failed = {}


def some(n):
    return n // 20 if QUICK else n


def rows():
    few = min(ROUNDS, 5)
    n, calls = some(4000), some(200_000)
    return [
        Row("connect + accept + close, blocking", "µs", "ratio", "≤ 1.40", program("dials", n)),
        Row("the same, epoll, 64 in flight", "µs", "ratio", "≤ 1.40", program("dials", n, 1, 64)),
        Row("the same, 8 clients", "µs", "ratio", "≤ 1.40", program("dials", n, 8)),
        Row("ping-pong of 1 byte", "µs", "ratio", "≤ 1.01", program("stream", "ping", some(20_000))),
        Row("stream of 64 KiB writes, a MiB", "µs", "ratio", "≤ 1.01", program("stream", "bulk", some(1000))),
        Row("getsockname", "µs", "as is", "≤ 2", program("calls", "sockname", calls)),
        Row("getpeername", "µs", "as is", "≤ 2", program("calls", "peername", calls)),
        Row("close of what is no lonet socket", "µs", "more", "≤ 0.010", program("calls", "close", 5 * calls)),
        Row("connect to no lonet address", "µs", "more", "≤ 0.2", program("calls", "elsewhere", calls)),
        Row("getaddrinfo of a lonet name", "µs", "as is", "≤ 100", program("calls", "resolve", some(2000)), "B"),
        Row("exec of /bin/true", "µs", "more", "≤ 500", program("calls", "spawn", some(200))),
        Row("join: first bind of a process", "µs", "as is", "≤ 300", program("calls", "join"), "B", 3 * ROUNDS),
        Row("cold start to the first accept", "µs", "as is", "≤ 30000", cold_start, "B"),
        Row("memory of a process", "KiB", "more", "≤ 1024", program("calls", "rss")),
        Row("memory after mlockall", "KiB", "more", "≤ 65536", program("calls", "locked")),
        Row("liblonet.so, stripped", "KiB", "as is", "≤ 1024", size, "B", 1),
        Row("dial, 10 connections open", "µs", "as is", "", program("dials", n, 1, 0, 10), "AB", few),
        Row("dial, 1,000 open", "µs", "as is", "≤ 1.5 × of 10", program("dials", n, 1, 0, 1000), "AB", few),
        Row(
            "dial, 50,000 open", "µs", "as is", "≤ 1.5 × of 10",
            program("dials", n, 1, 0, 1000 if QUICK else 50_000), "AB", min(ROUNDS, 3),
        ),
        Row("foreign handshake; A: plain accept", "µs", "ratio", "≤ 2", handshakes, "AB", few),
        Row("redis-benchmark, kept connections", "µs", "ratio", "≤ 1.01", lambda s: redis(s, True), "ABC", few),
        Row("redis-benchmark, one connection a request", "µs", "ratio", "≤ 1.18", lambda s: redis(s, False), "ABC", few),
        Row("wrk against nginx, kept connections", "µs", "ratio", "≤ 1.01", lambda s: nginx(s, "wrk"), "ABC", few),
        Row("ab against nginx, one a request", "µs", "ratio", "≤ 1.18", lambda s: nginx(s, "ab"), "ABC", few),
        Row("pgbench, kept connections", "µs", "ratio", "≤ 1.01", lambda s: postgres(s, False), "AB", few),
        Row("pgbench, one connection a transaction", "µs", "ratio", "≤ 1.18", lambda s: postgres(s, True), "AB", few),
    ]


def number(x):
    if abs(x) >= 1000:
        return f"{x:,.0f}"
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.3f}"


def against_a(row, name):
    """What is to be told of B or C, each round for itself."""
    pairs = zip(row.got.get("A", []), row.got[name])
    if row.how == "ratio":
        return [x / a for a, x in pairs]
    return [x - a for a, x in pairs] if row.how == "more" else row.got[name]


def told(row, name):
    if name not in row.settings:
        return "–"
    if name in row.failed or not row.got[name]:
        return "fails"
    values = against_a(row, name)
    text = f"{statistics.median(values):.2f}" if row.how == "ratio" else number(statistics.median(values))
    if row.how == "more":
        text = "+" + text if not text.startswith("-") else text
    if len(values) > 2:
        low, _, high = statistics.quantiles(values, n=4)
        show = (lambda x: f"{x:.2f}") if row.how == "ratio" else number
        text += f" ({show(low)} – {show(high)})"
    return text


def table(all_rows):
    lines = ["| work | unit | kernel | lonet | target | socket_wrapper |", "|---|---|---|---|---|---|"]
    for row in all_rows:
        a = number(statistics.median(row.got["A"])) if row.got.get("A") else "–"
        how = {"ratio": "× kernel", "more": "more than kernel", "as is": ""}[row.how]
        unit = row.unit if row.how == "as is" else f"{row.unit}; {how}"
        lines.append(f"| {row.what} | {unit} | {a} | {told(row, 'B')} | {row.target} | {told(row, 'C')} |")
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*: (.*)", info.read())
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors, "
        f"Linux {platform.release()}, {' '.join(platform.libc_ver())}; load {os.getloadavg()[0]:.1f} at the start"
    )


def main():
    started, where = time.monotonic(), machine()
    words = [w for w in sys.argv[1:] if not w.startswith("-")]
    all_rows = [r for r in rows() if not words or any(w in r.what for w in words)]
    # Somebody has to stay, or the network would end between two programs.
    keeper = Setting("B", 0).start("sleep", "100000")
    serial = 0
    try:
        for round_number in range(max(r.rounds for r in all_rows)):
            for row in all_rows:
                if round_number >= row.rounds:
                    continue
                for name in row.settings:
                    serial += 1
                    if name in row.failed:
                        continue
                    try:
                        row.got[name].append(row.measure(Setting(name, serial)))
                    except (Failed, subprocess.TimeoutExpired, subprocess.CalledProcessError) as e:
                        row.failed[name] = str(e)
                        print(f"{row.what}: {name} fails: {e}", file=sys.stderr)
            print(f"round {round_number + 1}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    finally:
        stop(keeper)
        shutil.rmtree(WORK, ignore_errors=True)
    text = table(all_rows)
    print(text)
    if not QUICK and not words:
        now = datetime.datetime.now(datetime.timezone.utc)
        results = ROOT / "bench/RESULTS.md"
        notes = results.read_text().partition("\n## ")[2] if results.exists() else ""
        head = (
            "# Measured\n\nWritten by `scripts/bench` (what each line is and how it is measured: bench/README.md) on "
            f"{now:%Y-%m-%d}, {where}.\n"
            f"In brackets the quartiles of {ROUNDS} rounds, of fewer where a round takes long.\n\n"
        )
        results.write_text(head + text + "\n" + ("\n## " + notes if notes else ""))
    lonet_failed = [r.what for r in all_rows if "B" in r.failed]
    return 1 if lonet_failed else 0


sys.exit(main())
