#!/bin/bash
# A lonetd that had no descriptor to watch a program with notices its end all the same: the network is not in use by it, and
# ends by itself.
. "$(dirname "$0")/scenario.bash"

welcome
start server lonet run --host α -- python3 "$work/server.py" 80
server=$pid
lonet wait --timeout 120 α:80
daemon=$(lonetd)

# One is left, which the connection of the next program takes.
limit=0
while [ -e "/proc/$daemon/fd/$limit" ]; do limit=$((limit + 1)); done
before=$(prlimit --pid "$daemon" --nofile --output SOFT --noheadings | tr -d ' ')
prlimit --pid "$daemon" --nofile="$((limit + 1)):"
is_unwatched() {
    lonet run --host β -- python3 -c 'import socket; socket.create_server(("", 81))'
    grep 'cannot watch pid' "$TMPDIR/lonet/$LONET_NETWORK/log"
}
until_true is_unwatched

code 1 lonet down
like "$err" "in use by (pid $server|python3 \(pid $server\));" "only the program that is left is named"
# Its files are removed with some descriptors.
prlimit --pid "$daemon" --nofile="$before:"
kill "$server"
is_gone() { [ ! -e "$TMPDIR/lonet" ]; }
until_true is_gone
until_true ended "$daemon"
echo "ok: the network has ended by itself"
