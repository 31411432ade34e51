#!/bin/bash
# `lonet loss α β 20%`: segments are lost, also on connections that come later, and are sent again; all arrives, and after heal nothing
# is lost.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

# Sends lines there and back on one connection, at most so many as it is told, until a segment had to be sent again.
cat >"$work/back.py" <<'END'
import socket
l = socket.create_server(("", 80))
print("ready", flush=True)
while True:
    c = l.accept()[0]
    while data := c.recv(1000):
        c.sendall(data)
END
cat >"$work/there.py" <<'END'
import select, socket, struct, sys
s = socket.create_connection(("β.lonet", 80))
print("connected", flush=True)
for line in sys.stdin:
    before = struct.unpack_from("I", s.getsockopt(6, 11, 192), 100)[0]
    most, lost, n = int(line), 0, 0
    while n < most and lost == 0 or n < 50:
        text = b"%08d" % n
        s.sendall(text)
        got = b""
        while len(got) < 8:
            got += s.recv(8 - len(got))
        assert got == text, (got, text)
        n += 1
        lost = struct.unpack_from("I", s.getsockopt(6, 11, 192), 100)[0] - before
    print("lost" if lost else "all", flush=True)
END

start back lonet run --host β -- python3 "$work/back.py"
lonet wait β:80
commanded 21 there lonet run --host α -- python3 "$work/there.py"
until_true grep -q connected "$work/there"
turn() { # MOST WANT WHAT
    local before
    before=$(wc -l <"$work/there")
    echo "$1" >&21
    until_true eval '[ "$(wc -l <"$work/there")" -gt '"$before"' ]'
    is "$(tail -n 1 "$work/there")" "$2" "$3"
}
turn 1000 all "nothing is lost"
code 0 lonet loss α β 20%
is "$out" "loses on 1 connection" "it says on how many"
turn 1000000 lost "what is sent is lost, and sent again"
like "$(lonet faults)" "^lonet loss (α β|β α) 20%  # [0-9]+ segments? dropped$" "faults shows it"
code 0 lonet heal --expect-hit
turn 1000 all "after heal nothing is lost"

# One direction, and a connection that comes later; lonetd is killed meanwhile.
code 0 lonet loss 'β>α' 50%
is "$(lonet faults)" "lonet loss 'β>α' 50%" "one direction"
kill_lonetd
lonet ls >"$work/ls"
exec 21>&- # it ends
commanded 21 there lonet run --host α -- python3 "$work/there.py"
until_true grep -q connected "$work/there"
hit() { lonet faults | grep -q dropped; }
turn 1000000 lost "is lost, too"
until_true hit
is "$(lonet faults --json | jq -c '[.rules[] | [.from, .hits > 0]]')" '[["β",true]]' "in that direction"
code 0 lonet heal --expect-hit
turn 1000 all "and nothing after heal"
code 1 lonet loss α β 95%
is "$err" 'lonet: loss "95%": a loss is at least 0.01% and at most 90%; lonet cut loses all' "too much"
code 1 lonet loss α 5
is "$err" 'lonet: loss "5": a loss is a number followed by %, such as 5%' "no part"
