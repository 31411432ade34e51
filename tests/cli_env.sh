#!/bin/bash
# `eval "$(lonet env …)"` makes what the shell starts from then on a host's, as `lonet run` would.
. "$(dirname "$0")/scenario.bash"

mkdir "$work/it's here"
export TMPDIR="$work/it's here"
code 0 lonet env -n "$LONET_NETWORK" -H α --loopback real --os-ports private --autobind-from 1024
[ ! -e "$TMPDIR/lonet" ] || fail "env has started something"
settings=$out
is "$(env -i sh -c "$settings"'; echo "$LONET_NETWORK|$LONET_DIR|$LONET_HOST|$LONET_LOOPBACK|$LONET_OS_PORTS|$LONET_AUTOBIND|$LD_PRELOAD"')" \
    "$LONET_NETWORK|$TMPDIR/lonet/$LONET_NETWORK|α|real|private|1024|$library" "a shell reads what was meant"

eval "$(lonet env -H α --autobind-from 7)"
start server python3 -c '
import socket
s = socket.socket()
s.bind(("", 0))
s.listen()
s.accept()'
LD_PRELOAD='' lonet wait --timeout 120 α:7
is "$(LD_PRELOAD='' lonet ls --json | jq -c '.hosts[].sockets[] | [.port, .pid]')" "[7,$pid]" "what it starts is α's"
unset LD_PRELOAD LONET_HOST
stop "$pid"
until_down "$LONET_NETWORK"
export TMPDIR=$work
code 0 lonet env
is "$(grep LONET_HOST <<<"$out" || true)" "" "without a host there is none"
