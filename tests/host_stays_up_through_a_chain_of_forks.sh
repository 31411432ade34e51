#!/bin/bash
# A host stays up while its only process forks and ends a hundred times in a row: each child is found, also where its parent
# ends between being found and being watched.
. "$(dirname "$0")/scenario.bash"

cat >"$work/chain.py" <<'END_OF_CHAIN'
import os, socket, sys
again, out = sys.argv[1:]
joined = socket.create_server(("", 80))
os.closerange(0, 1024)
for _ in range(100):
    if os.fork():
        os._exit(0)
with open(out, "w") as f:
    print(os.getpid(), file=f)
open(again).read()
END_OF_CHAIN
cat >"$work/dial.py" <<'END_OF_DIAL'
import errno, socket
try:
    socket.create_connection(("α.lonet", 80))
except OSError as e:
    print(errno.errorcode.get(e.errno, e))
END_OF_DIAL
mkfifo "$work/again"
lonet run --host α -- python3 "$work/chain.py" "$work/again" "$work/out"
until_true [ -s "$work/out" ]
# Should the scenario fail, it is to end; `wait` does not know it.
started+=("$(<"$work/out")")
is "$(lonet run --host β -- python3 "$work/dial.py")" ECONNREFUSED "its host is up, and nothing listens there"
echo >"$work/again"
until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
echo "ok: with the last child the network ends"
