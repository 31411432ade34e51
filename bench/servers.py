"""Programs that others have written, as server and client. Each class: its server runs while an object of it is used
in `with`, and load() is the client's microseconds for one request."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess

from setting import BIN, NETWORK, PROGRAMS, WORK, Setting, stop, until


class Server:
    """turns: how often load() is called in a round. One that is short is more often left alone by what else runs."""

    signal, turns = signal.SIGTERM, 10

    def __init__(self, setting, quick):
        self.setting, self.quick = setting, quick

    def __exit__(self, *_):
        stop(self.process, self.signal)


class Redis(Server):
    keep, requests, turns = True, 30_000, 8

    def __enter__(self):
        port = self.setting.port(6379)
        self.process = self.setting.start(
            "redis-server", "--port", port, "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", WORK
        )
        self.at = ["-h", self.setting.address, "-p", port]
        until(lambda: self.setting.run("redis-cli", *self.at, "ping"))
        return self

    def load(self):
        n = self.requests // 10 if self.quick else self.requests
        out = self.setting.run(
            "redis-benchmark", *self.at, "-q", "--csv", "-t", "get", "-n", n, "-c", 20, "-k", int(self.keep)
        )
        return 1e6 / float(re.findall(r'"GET[^"]*","([0-9.]+)"', out)[-1])


class RedisAnew(Redis):
    keep, requests = False, 1000


class Nginx(Server):
    signal, options, requests = signal.SIGQUIT, ["-k"], 40_000
    # Whose the worker is, where root starts it.
    user = "root"

    def __enter__(self):
        port = self.setting.port(80)
        directory = WORK / f"nginx-{self.setting.name}-{self.setting.number}"
        directory.mkdir(exist_ok=True)
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (directory / "conf").write_text(
            f"{f'user {self.user};' if os.geteuid() == 0 else ''} daemon off; worker_processes 1; pid {directory}/pid; events {{ worker_connections 1024; }}"
            f"http {{ access_log off; {temporary} keepalive_requests 1000000;"
            f'server {{ listen {port}; location / {{ return 200 "lonet\\n"; }} }} }}'
        )
        self.process = self.setting.start("nginx", "-e", directory / "error", "-c", directory / "conf", log="nginx")
        self.url = f"http://{self.setting.address}:{port}/"
        until(lambda: self.setting.run("curl", "-sS", "-o", directory / "page", self.url))
        return self

    def load(self):
        n = self.requests // 10 if self.quick else self.requests
        out = self.setting.run("ab", "-q", *self.options, "-n", n, "-c", 8, self.url)
        return 1e6 / float(re.search(r"Requests per second:\s*([0-9.]+)", out)[1])


class NginxAnew(Nginx):
    options, requests = [], 1000


class NginxOfAnother(NginxAnew):
    user = "www-data"


class Postgres(Server):
    """Five processes take part in what is measured. Where the scheduler puts them counts for more than what they do, so
    they share a processor; and it is long, as each new backend's first transactions are slow."""

    signal, turns = signal.SIGINT, 8
    options, transactions, pinned = [], 5000, True

    def __init__(self, setting, quick):
        """As the user nobody if root asks: it is no server of root's."""
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        super().__init__(Setting(setting.name, setting.number, user, self.pinned), quick)
        self.user, self.home = user, WORK / "pg"
        self.data = self.home / setting.name

    def __enter__(self):
        """Each has its own cluster, from a copy of an empty one: one for all would favour who comes last."""
        port, empty = self.setting.port(5432), self.home / "empty"
        if not empty.exists():
            self.home.mkdir()
            if self.user:
                os.chown(self.home, 65534, 65534)
            subprocess.run(
                [*self.user, "initdb", "-D", empty, "-U", "me", "-A", "trust", "--no-sync"],
                check=True, stdout=subprocess.DEVNULL, cwd=WORK,
            )
            with open(empty / "pg_hba.conf", "a") as hba:
                hba.write("host all all all trust\n")
            (WORK / "query.sql").write_text("select 1;\n")
        subprocess.run([*self.user, "cp", "-r", empty, self.data], check=True, cwd=WORK)
        self.process = self.setting.start(
            "postgres", "-D", self.data, "-p", port, "-c", "listen_addresses=*", "-c", "fsync=off",
            "-c", f"unix_socket_directories={self.data}", log="postgres",
        )
        self.at = ["-h", self.setting.address, "-p", port, "-U", "me"]
        until(lambda: self.setting.run("psql", *self.at, "-XAtqc", "select 1", "postgres"))
        return self

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.data)

    def load(self):
        n = self.transactions // 10 if self.quick else self.transactions
        out = self.setting.run(
            "pgbench", *self.at, "-n", "-f", WORK / "query.sql", "-c", 4, "-t", n, *self.options, "postgres"
        )
        return 1e6 / float(re.search(r"tps = ([0-9.]+)", out)[1])


class PostgresAnew(Postgres):
    options, transactions, pinned, turns = ["-C"], 20, False, Server.turns


class Handshakes(Server):
    """A: a program that only accepts; B: lonetd and the program that gets the connection, as foreign peers see it."""

    turns = 5

    def __enter__(self):
        setting, self.program = self.setting, PROGRAMS / "handshakes"
        port = setting.port(80)
        self.process = setting.start(self.program, "serve", port, log="serve")
        if setting.name == "B":
            host = f"h{setting.number}"
            setting.run(BIN / "lonet", "wait", f"{host}:{port}")
            registry = sqlite3.connect(WORK / "lonet" / NETWORK / "registry.db")
            found = registry.execute("select osladdr from hosts where hostname = ?", [host]).fetchone()
            registry.close()
            request = f'> lonet "lonet{NETWORK}" dial "bench:1" "{host}:{port}"\n'
            self.dial, self.request = ["shake", *found[0].split(":")], [request]
        else:
            self.dial, self.request = ["dial", setting.address, port], []
            until(lambda: setting.run(self.program, *self.dial, 0, 1))
        return self

    def load(self):
        # The dialers are no hosts of ours.
        seconds = 0.1 if self.quick else 0.5
        return 1e6 / float(Setting("A", 0).run(self.program, *self.dial, seconds, 4, *self.request))
