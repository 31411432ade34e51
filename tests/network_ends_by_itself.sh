#!/bin/bash
# A network ends by itself when its last program has, and leaves nothing behind.
. "$(dirname "$0")/scenario.bash"

start server lonet run -H α -- python3 -m http.server 8080
lonet wait --timeout 120 α:8080
daemon=$(lonetd || true)
like "$daemon" '^[0-9]+$' "lonetd serves the network"
stop "$pid"
until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
until_true ended "$daemon"
is "$(ls -A "$TMPDIR/lonet")" "" "nothing is left"
is "$(lonet networks)" "" "nor listed"
code 0 lonet run -H α -- true
echo "ok: and can be started again"
