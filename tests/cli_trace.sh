#!/bin/bash
# `lonet trace`: what happens in a network, in its order, as text and as JSON; recorded before anybody looks, and as it happens.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/server.py" <<'PY'
import socket
s = socket.create_server(("", 80))
while True:
    c, _ = s.accept()
    # The dialer has said that it is done: it closes behind this.
    said = b""
    while data := c.recv(100):
        said += data
    c.sendall(b"welcome")
    c.close()
PY
cat >"$work/dial.py" <<'PY'
import socket, sys
c = socket.create_connection(("web.lonet", 80))
c.sendall(b"hello")
c.shutdown(socket.SHUT_WR)
assert c.recv(8, socket.MSG_WAITALL) == b"welcome"
c.close()
for host, port in [("web.lonet", 81), ("nobody.lonet", 80)]:
    assert socket.socket().connect_ex((socket.gethostbyname(host), port)) != 0
PY

code 1 lonet trace
like "$err" "is not running" "a network that does not run has no trace"
code 0 lonet trace --start
start server lonet run --host web -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 web:80
code 0 lonet run --host client -- python3 "$work/dial.py"

# The words of an event without time and process.
words() { sed -E 's/^[0-9:.]+ //; s/ [^ ]*\([0-9]+\)//'; }
recorded() { lonet trace | words; }
until_true eval 'recorded | grep -q "^client host_down"'
is "$(recorded | grep -E ' (bound|listening|dial|connected|refused|unreachable) ')" \
    "web bound web:80
web listening web:80
client dial client:1 → web:80
client connected client:1 → web:80
client dial client:1 → web:81
client refused client:1 → web:81 error=ECONNREFUSED
client dial client → nobody:80
client unreachable client → nobody:80 error=EHOSTUNREACH" "dials, in the order of their program"
is "$(recorded | grep -E '^web (accepted|closed)')" \
    "web accepted client:1 → web:80
web closed client:1 → web:80 by=program sent=7 received=5" "the accept and its close, with bytes each way"
is "$(recorded | grep -E '^client (closed)')" "client closed client:1 → web:80 by=program sent=5 received=7" \
    "the dialer's close"
is "$(recorded | grep -E '^client (host|joined|ended)' | sed 's/joined.*/joined/')" "client host_up
client joined
client ended exit=0
client host_down" "the life of a host and of a process"
is "$(recorded | grep -E ' name_.* web' | sort -u)" "client name_answered web.lonet answer=$(lonet addr web:80 | cut -d: -f1)
client name_asked web.lonet" "names"

lonet trace --format jsonl >"$work/trace"
python3 - "$work/trace" "$LONET_NETWORK" "$server" <<'PY' || fail "the JSON is not what lonet(7) says"
import json, re, sys
header, *events = [json.loads(line) for line in open(sys.argv[1])]
time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
assert list(header) == ["lonet_trace", "network", "time"], header
assert (header["lonet_trace"], header["network"]) == (1, sys.argv[2]) and time.fullmatch(header["time"]), header
order = "seq time event host pid program at scope from to os_from os_to error by sent received status name answer rule count".split()
for e in events:
    assert list(e) == [field for field in order if field in e] and {"seq", "time", "event"} <= set(e), e
    assert time.fullmatch(e["time"]), e
numbers = [e["seq"] for e in events]
assert numbers == sorted(set(numbers)), numbers
assert not [e for e in events if e["event"] == "lost"]
accepted = next(e for e in events if e["event"] == "accepted")
assert (accepted["host"], accepted["pid"], accepted["program"]) == ("web", int(sys.argv[3]), "python3"), accepted
# Who reacts to an event has the higher number.
at = {(e["event"], e["host"]): e["seq"] for e in events if e.get("from") == "client:1" and e.get("to") == "web:80"}
assert at["dial", "client"] < at["accepted", "web"] < at["closed", "web"] < at["closed", "client"], at
PY
echo "ok: JSON as lonet(7) has it"

start follow lonet trace --follow
follow=$pid
until_true eval 'lonet run -q --host client -- python3 "$work/dial.py" && grep -q "connected client:1 → web:80" "$work/follow"'
echo "ok: --follow prints what happens"
is "$(grep -c 'bound web:80' "$work/follow" || true)" 0 "and not what was before"
start from_start lonet trace --follow --since start
until_true grep -q "bound web:80" "$work/from_start"
echo "ok: --since start does"

code 0 lonet trace --stop
stop "$pid"
stop "$follow"
count() { lonet trace | wc -l; }
before=$(count)
code 0 lonet run --host client -- python3 "$work/dial.py"
is "$(count)" "$before" "after --stop nothing is recorded"
code 0 lonet down --kill
code 1 lonet trace
