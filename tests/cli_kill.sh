#!/bin/bash
# `lonet kill` sends a signal to all processes of a host, and to no others.
. "$(dirname "$0")/scenario.bash"

code 1 lonet kill α
is "$err" "lonet: network \"$LONET_NETWORK\" is not running" "a network that does not run"
[ ! -e "$TMPDIR/lonet" ] || fail "kill has started something"

# One that has children which never use the network, in a session of their own, too.
start family lonet run -H α -- bash -c 'sleep 1000 & setsid sleep 1001 & echo "$!" >"$0"; wait' "$work/child"
family=$pid
start other lonet run -H β -- sleep 1002
other=$pid
until_true test -s "$work/child"
child=$(<"$work/child")
until_true grep -x sleep "/proc/$child/comm"
until_true grep -x sleep "/proc/$other/comm"

code 1 lonet kill αα
is "$err" "lonet: no host \"αα\" is up in network $LONET_NETWORK; up are: α, β" "a host that is not up"
code 2 lonet kill -s NONE α
is "$err" 'lonet: --signal "NONE": no such signal; `kill -l` lists them' "a signal that there is not"
code 2 lonet kill
ended "$family" && fail "a signal was sent"

code 0 lonet kill -s KILL Α.lonet
is "$out" "sent SIGKILL to 3 processes of Α" "it says how many"
until_true ended "$family"
until_true ended "$child"
ended "$other" && fail "another host's process had the signal"
host_is_gone() { [ "$(lonet ls --json | jq -r '.hosts[].name')" = β ]; }
until_true host_is_gone

# TERM is the default.
code 0 lonet kill β
is "$out" "sent SIGTERM to 1 process of β" "TERM"
until_true ended "$other"
