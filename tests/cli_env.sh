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

# The network's key is there while the network runs.
unset LONET_DIR
is "$(lonet env | grep LONET_KEY || true)" "" "a network that does not run has no key"
old=$(id -u)-00112233445566778899aabbccddeeff
is "$(LONET_KEY=$old lonet env | grep LONET_KEY || true)" "" "not even the one that the shell still has"
welcome
start owner lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
is "$(lonet env | grep LONET_KEY)" "export $(lonet run --host β -- env | grep LONET_KEY)" "one that runs has the key that lonet run sets"
if [ "$(id -u)" = 0 ]; then
    chmod 711 "$work"
    other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    is "$(eval "$(lonet env --host β)"; "${other[@]}" bash -c 'exec 3<>/dev/tcp/α.lonet/80; head -c 7 <&3')" welcome \
        "by which a program that has dropped its uid is a member"
fi
