"""Processes of another user at all doors of the network, and the checks that none is ever served.

They are bounded in rate and number (outsider.py): what is looked at is who gets in, not how much can be borne. Root
alone can start them.
"""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys

import messages
from verdict import check

HERE = os.path.dirname(os.path.abspath(__file__))
DOORS = ["control", "key", "dumpable key", "listeners", "sources", "stack", "files"]
UID = 65533
ANSWERS_WITHIN = 60
# A host that nobody of the network calls.
BAIT = "bait"


class Outsiders:
    """`lonetds` says the pids of those who serve the network. `doors`: some of DOORS."""

    def __init__(self, network, seed, lonetds, doors):
        self.network, self.seed, self.lonetds, self.at = network, seed, lonetds, doors
        self.net = os.path.join(os.environ["TMPDIR"], "lonet", network)
        self.place = os.path.join(os.environ["TMPDIR"], "outsiders")
        self.doors = os.path.join(self.place, "doors")
        self.all, self.received = {}, {}
        self.bait = None

    def start(self):
        """For a network that is served: what a member says is understood, and its servers serve the owner."""
        os.mkdir(self.place)
        # Whatever the umask is.
        os.chmod(self.place, 0o1777)
        listing = self.list_as_owner()
        address = listing["hosts"][0]["address"]
        self.block = int(address.split(".")[1])
        listener = next(s for h in listing["hosts"] for s in h["sockets"] if s["state"] == "listening")
        ip, port = listener["os"].rsplit(":", 1)
        with socket.create_connection((ip, int(port)), ANSWERS_WITHIN) as s:
            check(s.recv(1), "the owner is not served at", listener["os"])
        # In front of it, it has to be told without a question who is an outsider.
        bait = ["lonet", "run", "--host", BAIT, "--", sys.executable, "-SE", os.path.join(HERE, "bait.py")]
        self.bait = subprocess.Popen(bait, stdout=subprocess.PIPE)
        check(self.bait.stdout.readline(), "the bait does not listen")
        self.tell_doors()
        environment = {**os.environ, "LONET_DIR": self.net, "LONET_HOST": "s1", "LONET_KEY": "0-" + "0" * 32}
        for door in self.at:
            command = [sys.executable, os.path.join(HERE, "outsider.py"), door, f"{self.seed} {door}", self.doors]
            self.all[door] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            self.received[door] = b""

    def list_as_owner(self):
        """All hosts and processes, from lonetd's own mouth: `lonet ls` leaves processes out."""
        with self.ask_as_owner(messages.request(1, messages.LIST)) as s:
            # What another version asks is answered with the version that would be understood.
            self.version = messages.version_of(s.recv(4096))
        with self.ask_as_owner(messages.request(self.version, messages.LIST)) as s:
            _, files, _, _ = socket.recv_fds(s, 4096, 1)
        check(files, "lonetd does not answer the owner")
        with open(files[0]) as f:
            f.seek(0)
            return json.load(f)

    def ask_as_owner(self, message):
        s = messages.connect(os.path.join(self.net, "control"))
        s.settimeout(ANSWERS_WITHIN)
        s.send(message)
        return s

    def tell_doors(self):
        """lonetd may be another one, with other names."""
        text = json.dumps({"network": self.network, "net": self.net, "block": self.block, "version": self.version,
                           "outsiders": self.place, "control": [name.hex() for name in self.control_names()]})
        with open(self.doors + ".new", "w") as f:
            f.write(text)
        os.rename(self.doors + ".new", self.doors)

    def control_names(self):
        """By which names lonetd's control sockets can be reached."""
        inodes = set()
        for pid in self.lonetds():
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    inodes.add(re.sub(r"\D", "", os.readlink(f"/proc/{pid}/fd/{fd}")))
            except OSError:
                pass
        names = [os.fsencode(os.path.join(self.net, "control"))]
        with open("/proc/net/unix", "rb") as f:
            for line in f.readlines()[1:]:
                words = line.split(None, 7)
                if len(words) == 8 and words[6].decode() in inodes and words[7].startswith(b"@"):
                    names.append(b"\0" + words[7].rstrip(b"\n")[1:].replace(b"@", b"\0"))
        return names

    def pids(self):
        return {s.pid for s in self.all.values()}

    def faults(self):
        """What they got that they must not get, since the last time."""
        faults = []
        for door, process in self.all.items():
            out = process.stdout.fileno()
            while select.select([out], [], [], 0)[0]:
                more = os.read(out, 65536)
                if not more:
                    faults.append(f"the outsider at {door} ended by itself")
                    break
                self.received[door] += more
            *lines, self.received[door] = self.received[door].split(b"\n")
            faults += [line.decode() for line in lines]
        return faults

    def look(self):
        """All that must be true of them. For a network that is served."""
        faults = self.faults()
        check(not faults, "an outsider got in:", *faults)
        listing = self.list_as_owner()
        shown = {p["pid"] for p in listing["processes"]} | {s["pid"] for h in listing["hosts"] for s in h["sockets"]}
        check(not shown & self.pids(), "outsiders are members:",
              [door for door, process in self.all.items() if process.pid in shown])
        hosts = [h["name"] for h in listing["hosts"] if h["name"] == "outsider"]
        check(not hosts, "an outsider has a host")
        self.tell_doors()

    def end(self, figures):
        """Ends them, and counts what they did."""
        self.look()
        for door, process in self.all.items():
            process.stdin.close()
            check(select.select([process.stdout], [], [], ANSWERS_WITHIN)[0], "the outsider at", door, "is stuck")
            counts = json.loads(self.received[door] + process.stdout.read().strip().split(b"\n")[-1])["counts"]
            check(counts, "the outsider at", door, "did nothing")
            for what, count in counts.items():
                figures[f"outsider at {door}: {what}"] += count
            process.wait()
        self.all = {}

    def kill(self):
        """Ends them whatever they do. Returns what was not looked at."""
        faults = self.faults()
        for process in [*self.all.values(), *([self.bait] if self.bait else [])]:
            process.kill()
            process.wait()
        root = os.path.dirname(self.net)
        for directory in filter(os.path.isdir, [root, os.path.dirname(root)]):
            for entry in os.scandir(directory):
                if entry.stat(follow_symlinks=False).st_uid == UID:
                    shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)
        return faults
