"""What the tests of foreign peers share.

A test is a function named test_…; `main` runs each in a network of its own and says how it went. Programs under
test are Python programs of a few lines, run by `lonet run`; their peers are hosts of this process (lonetpeer).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peer"))
import lonetpeer  # noqa: E402

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if not os.access(os.path.join(TESTS, "..", "bin", "lonet"), os.X_OK):
    build = os.environ.get("LONET_BUILD", "release")
    os.environ["PATH"] = os.path.join(TESTS, "..", "target", build) + ":" + os.environ["PATH"]
PATIENCE = 30


def until(what, patience=PATIENCE):
    """Waits until what() is true, and returns it."""
    end = time.monotonic() + patience
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, "does not come true"
        time.sleep(0.01)


class Scene:
    """A network, its programs and its foreign hosts."""

    def __init__(self, name):
        self.name = name
        self.tmp = tempfile.mkdtemp(prefix="w.", dir=os.environ.get("TMPDIR", "/tmp"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("LONET_") and k != "LD_PRELOAD"}
        self.env.update(TMPDIR=self.tmp, LONET_NETWORK=name, PYTHONUNBUFFERED="1")
        self.dir = os.path.join(self.tmp, "lonet", name)
        self.programs, self.net = [], None

    def lonet(self, *args, check=True):
        done = subprocess.run(("lonet",) + args, env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        assert not check or done.returncode == 0, (args, done)
        return done

    def start(self, host, program, *args, **kwargs):
        """Runs a Python program as a host; its output is read by `Program`."""
        return self.run_as(host, [sys.executable, "-c", program, *args], **kwargs)

    def run_as(self, host, command, env=None):
        full = ["lonet", "run"] + (["--host", host] if host else []) + ["--"] + command
        p = subprocess.Popen(
            full, env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.programs.append(p)
        return p

    def run(self, host, program, *args, **kwargs):
        """Runs a Python program to its end; what it printed."""
        p = self.start(host, program, *args, **kwargs)
        out, _ = p.communicate(timeout=PATIENCE)
        assert p.returncode == 0, (p.returncode, out)
        return out

    def wait(self, *addresses):
        self.lonet("wait", *addresses)

    def foreign(self, journal="WAL"):
        """The network as another process sees it."""
        if self.net is None:
            os.makedirs(self.dir, exist_ok=True)
            os.chmod(self.dir, 0o700)
            self.net = lonetpeer.Network(self.dir, self.name, journal)
        return self.net

    def ls(self):
        out = self.lonet("ls", "--json").stdout
        return {h["name"]: h for h in json.loads(out)["hosts"]} if out else {}

    def log(self):
        try:
            with open(os.path.join(self.dir, "log")) as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def daemon(self):
        """The pid of lonetd."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if words[0] == b"lonetd" and self.dir.encode() in words:
                return int(pid)
        return None

    def close(self):
        if self.net:
            self.net.close()
        for p in self.programs:
            p.kill()
            p.wait()
            p.stdout.close()
        self.lonet("down", "--kill", check=False)
        shutil.rmtree(self.tmp, ignore_errors=True)


# An echo server in threads; says who called.
ECHO = r"""
import socket, sys, threading
port = int(sys.argv[1])
s = socket.create_server(("", port), backlog=1024)
def serve(c):
    with c:
        while data := c.recv(65536):
            c.sendall(data)
while True:
    c, peer = s.accept()
    print(peer[0], peer[1], flush=True)
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"""


def main(namespace):
    words, failed = sys.argv[1:], 0
    tests = [(n, f) for n, f in namespace.items() if n.startswith("test_")]
    for i, (name, test) in enumerate(tests):
        if words and not any(w in name for w in words):
            continue
        title = name[5:].replace("_", " ")
        scene = Scene("w%d-%d" % (os.getpid(), i))
        try:
            test(scene)
            print("ok: " + title, flush=True)
        except BaseException:
            failed += 1
            print("FAILED: " + title)
            traceback.print_exc(file=sys.stdout)
            print(scene.log(), flush=True)
            if sys.exc_info()[0] is KeyboardInterrupt:
                break
        finally:
            scene.close()
    sys.exit(1 if failed else 0)
