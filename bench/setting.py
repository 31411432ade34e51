"""Where a program runs: on the bare kernel, under lonet, under lonet as on an older kernel, under lonet and supervised, under
socket_wrapper."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NETWORK = f"bench{os.getpid()}"
WORK = Path(tempfile.mkdtemp(prefix="lonet-bench."))
# What root starts as somebody else finds its files here; the tree may be where nobody else can look.
os.chmod(WORK, 0o711)
BIN = WORK / "bin"
PROGRAMS = BIN
BIN.mkdir()
for built in [ROOT / "target/release/lonet", ROOT / "target/release/liblonet.so", *(ROOT / "target/bench").iterdir()]:
    shutil.copy(built, BIN)


class Failed(Exception):
    pass


class Setting:
    """A to E, with a host and an address that no other `number` has.

    user: a command that becomes somebody else, who then has a network of his own.
    pinned: what it runs stays on one processor, always the same; lonetd is where it likes.
    """

    def __init__(self, name, number, user=(), pinned=False):
        self.name, self.number = name, number
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("LONET_", "SOCKET_WRAPPER"))}
        self.environment.pop("LD_PRELOAD", None)
        self.prefix = list(user)
        if name == "A":
            self.address = f"127.0.{number % 250 + 1}.1"
        elif name in "BDE":
            self.address = f"h{number}.lonet"
            self.prefix += [str(BIN / "lonet"), "run", "--host", f"h{number}", *["--supervise=always"] * (name == "E"), "--"]
            if name == "D":
                self.prefix += [str(BIN / "old_kernel")]
            self.environment |= {"TMPDIR": str(WORK), "LONET_NETWORK": NETWORK + "u" * bool(user)}
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
        if pinned:
            self.prefix += ["taskset", "-c", str(max(os.sched_getaffinity(0)))]
        self.environment["BENCH_SERVER"] = self.address

    def port(self, usual):
        """A server has the port that it is known for; on the bare kernel that may be another's, and it has a free one."""
        if self.name != "A":
            return usual
        # Not of the range that the kernel gives to those who dial.
        for port in random.sample(range(20_000, 30_000), 100):
            with socket.socket() as taken, contextlib.suppress(OSError):
                taken.bind(("", port))
                return port
        raise Failed(f"{self.name}: no free port")

    def run(self, *command, limit=60):
        done = subprocess.run(
            [*self.prefix, *map(str, command)], env=self.environment, capture_output=True, text=True, timeout=limit
        )
        if done.returncode != 0:
            raise Failed(f"{self.name}: {' '.join(map(str, command))}: {done.returncode} {done.stderr.strip()[-300:]}")
        return done.stdout

    def lonet(self, *arguments):
        """A command about the setting's network."""
        done = subprocess.run([BIN / "lonet", *arguments], env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"lonet {' '.join(arguments)}: {done.returncode} {done.stderr.strip()[-300:]}")

    def start(self, *command, log="log"):
        with open(WORK / log, "a") as out:
            return subprocess.Popen([*self.prefix, *map(str, command)], env=self.environment, stdout=out, stderr=out)


def start_spinners(busy):
    """Keeps all processors awake, as one that a virtual machine has to wake takes tens of µs for it; with what gives way to
    everything else, or, if they are to be busy, with what does not."""
    first = [] if busy else ["chrt", "--idle", "0"]
    return [subprocess.Popen([*first, "sh", "-c", "while :; do :; done"]) for _ in os.sched_getaffinity(0)]


def stop(process, how=signal.SIGTERM):
    process.send_signal(how)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(what, limit=20):
    """Tries what fails with Failed until it does not."""
    end = time.monotonic() + limit
    while True:
        try:
            return what()
        except Failed:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def ended():
    if any((WORK / "lonet").glob("*")):
        raise Failed("a network is still up")


def clean_up():
    # Each network ends some seconds after its last program, and its lonetd tidies up in there.
    with contextlib.suppress(Failed):
        until(ended)
    shutil.rmtree(WORK, ignore_errors=True)
