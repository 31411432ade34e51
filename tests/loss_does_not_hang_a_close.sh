#!/bin/bash
# What a program sends before it closes a socket arrives under `lonet loss`, also where the close falls into a moment of loss.
. "$(dirname "$0")/scenario.bash"
need python3

# What has a filter of its own, which takes all, loses by its valve, whoever makes the loss. What is accepted has the listener's.
cat >"$work/valve.py" <<'END'
import ctypes, socket, struct

takes_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xFFFFFFFF))

def loses_by_its_valve(s):
    try:
        s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(takes_all)))
    except PermissionError:
        pass
END
cat >"$work/send.py" <<'END'
import socket
from valve import loses_by_its_valve
l = socket.create_server(("", 80))
loses_by_its_valve(l)
print("ready", flush=True)
while True:
    c = l.accept()[0]
    c.recv(2)
    c.sendall(bytes(300_000))
    c.close()
END
# Loss is of connections that lonetd has found.
cat >"$work/take.py" <<'END'
import socket, sys
from valve import loses_by_its_valve
all = [socket.create_connection(("β.lonet", 80)) for _ in range(16)]
for s in all:
    loses_by_its_valve(s)
print("connected", flush=True)
sys.stdin.readline()
for c in all:
    c.sendall(b"go")
    got = 0
    while more := c.recv(1 << 20):
        got += len(more)
    print(got, flush=True)
END
start send lonet run --host β -- python3 "$work/send.py"
lonet wait β:80
commanded 21 take lonet run --host α -- python3 "$work/take.py"
until_true grep -q connected "$work/take"
code 0 lonet loss α β 30%
like "$out" "^loses on [0-9]+ connections$" "connections lose"
echo go >&21
until_true eval '[ "$(grep -c "^300000$" "$work/take")" = 16 ]'
echo "ok: all have all"
code 0 lonet heal
