#!/bin/bash
# Test suites look for free ports: they ask for port 0, close, and ask again until they are told a port that they have not
# been told before. Some listen meanwhile. They come to an end, also where lonetd is killed in between.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/free.py" <<'END'
import asyncio, socket, sys

def bound(family=socket.AF_INET, address="127.0.0.1"):
    with socket.socket(family) as s:
        s.bind((address, 0))
        return s.getsockname()[1]

def listening():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        return s.getsockname()[1]

async def served():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port

def different(helper, n):
    ports, tries = set(), 0
    while len(ports) < n:
        ports.add(helper())
        tries += 1
        assert tries < 10000, (helper, ports)
    return sorted(ports)

print("bound", different(bound, 5), flush=True)
sys.stdin.readline()
print("after lonetd", different(lambda: bound(socket.AF_INET6, "::1"), 2), flush=True)
print("listening", len(different(listening, 4)), flush=True)
print("served", len(different(lambda: asyncio.run(served()), 3)), flush=True)
END

commanded 7 ports lonet run --host α -- python3 "$work/free.py"
until_true grep -q bound "$work/ports"
kill_lonetd
echo >&7
until_true grep -q served "$work/ports"
is "$(<"$work/ports")" "bound [1, 2, 3, 4, 5]
after lonetd [6, 7]
listening 4
served 3" "ports that are different each time"
is "$(lonet run --host α -- python3 -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')" 1 \
    "another program of the host gets the first one"
