#!/bin/bash
# Flags beat variables, for each that has both; without either there is a default.
. "$(dirname "$0")/scenario.bash"

# get VARIABLE FLAG…: what a program would find there.
get() { lonet env "${@:2}" | sed -n "s/^export $1=//p"; }
is "$(get LONET_HOST)" "" "no host"
is "$(get LONET_LOOPBACK) $(get LONET_OS_PORTS) $(get LONET_AUTOBIND)" "host native 1" "the defaults"
is "$(LONET_NETWORK='' get LONET_NETWORK)" "u$(id -u)" "the user's network"
export LONET_HOST=a LONET_LOOPBACK=real LONET_OS_PORTS=private LONET_AUTOBIND=9
is "$(get LONET_HOST) $(get LONET_LOOPBACK) $(get LONET_OS_PORTS) $(get LONET_AUTOBIND)" "a real private 9" "variables"
is "$(get LONET_NETWORK)" "$LONET_NETWORK" "the network, too"
is "$(get LONET_HOST -H b)" b "--host"
is "$(get LONET_LOOPBACK --loopback host)" host "--loopback"
is "$(get LONET_OS_PORTS --os-ports native)" native "--os-ports"
is "$(get LONET_AUTOBIND --autobind-from 7)" 7 "--autobind-from"
is "$(get LONET_NETWORK -n other)" other "--network"
is "$(get LONET_DIR -n other)" "$TMPDIR/lonet/other" "--network, for the directory"
is "$(LONET_DIR=$work/elsewhere/other get LONET_DIR -n other)" "$work/elsewhere/other" "LONET_DIR of that network"
is "$(LONET_DIR=$work/elsewhere/third get LONET_DIR -n other)" "$TMPDIR/lonet/other" "LONET_DIR of another"

for command in "ls" "wait --timeout 0 α:1" "addr α:1" "down" "env"; do
    code 1 env LONET_NETWORK=no/name lonet $command
    like "$err" '"no/name"' "lonet $command honours LONET_NETWORK"
done
