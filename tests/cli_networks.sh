#!/bin/bash
# `lonet networks` lists the networks of this user that run.
. "$(dirname "$0")/scenario.bash"

code 0 lonet networks
is "$out$err" "" "none, and none is started"
start one lonet run -n "$LONET_NETWORK-1" -H α -- sleep 1000
start two lonet run -n "$LONET_NETWORK-2" -H α -- sleep 1000
start three lonet run -n "$LONET_NETWORK-2" -H β -- sleep 1000
both() { [ "$(lonet networks)" = "$LONET_NETWORK-1  1 host, 1 process"$'\n'"$LONET_NETWORK-2  2 hosts, 2 processes" ]; }
until_true both
mkdir "$TMPDIR/lonet/broken"
touch "$TMPDIR/lonet/file"
both || fail "what is no network changes the list: $(lonet networks)"
rm -r "$TMPDIR/lonet"/{broken,file}
