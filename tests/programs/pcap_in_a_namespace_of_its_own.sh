#!/bin/bash
# In a network namespace of its own, in which the whole network runs, everybody may read packets.
. "$(dirname "$0")/../packets.bash"
if [ "${LONET_INSIDE_A_NAMESPACE:-}" != yes ]; then
    if ! why=$(unshare -Urn true 2>&1); then
        echo "skipped: no namespace can be made: $why"
        exit 0
    fi
    export LONET_INSIDE_A_NAMESPACE=yes
    exec unshare -Urn bash -c 'ip link set lo up && exec "$@"' - "$0" "$@"
fi
. "$(dirname "$0")/../scenario.bash"
need tshark python3
welcome

start web lonet run --host web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
capture file
lonet run --host laptop -- python3 "$work/dial.py" web.lonet 80 >/dev/null
captured
is "$(<"$work/capture")" "" "nothing is missing"
is "$(fields file tcp.len\>0 tcp.srcport tcp.dstport tcp.payload)" "80 1 $(printf welcome | od -An -tx1 | tr -d ' ')" "what was sent"
