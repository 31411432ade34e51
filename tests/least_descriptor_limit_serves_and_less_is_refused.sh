#!/bin/bash
# With the least limit of open descriptors that lonetd starts with, programs have connections, commands are answered, and the
# network ends by itself. With one less lonetd does not start, and says how many it needs.
. "$(dirname "$0")/scenario.bash"

cat >"$work/self.py" <<'END'
import os, socket
s = socket.create_server(("", 80))
to = (os.environ["LONET_HOST"] + ".lonet", 80)
pairs = [(socket.create_connection(to), s.accept()[0]) for _ in range(5)]
for c, a in pairs:
    a.sendall(b"welcome")
print(*(c.recv(7, socket.MSG_WAITALL).decode() for c, _ in pairs))
END
with_limit() { (ulimit -n "$1" && exec "${@:2}"); }
is_gone() { [ ! -e "$TMPDIR/lonet" ]; }
least=40

code 125 with_limit $((least - 1)) lonet run --host α -- python3 "$work/self.py"
like "$err" "the limit of open descriptors is $((least - 1)), and lonetd needs at least $least," "one less is refused"
like "$err" "with a higher limit \(.ulimit -n.," "with what to do"
is "$out" "" "and the program does not run"

code 0 with_limit $least lonet run --host α -- \
    bash -c 'python3 "$1" && lonet run --host β -- python3 "$1" && lonet ls >&2' bash "$work/self.py"
is "$out" "$(yes "welcome welcome welcome welcome welcome" | head -n 2)" "the least limit is enough for connections"
like "$err" "^α " "and for a list"
until_true is_gone
echo "ok: the network has ended by itself"
