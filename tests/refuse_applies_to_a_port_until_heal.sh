#!/bin/bash
# `lonet refuse α β:80`: α's dials of that port are refused until heal; other ports and other hosts, and the connections that there
# are, go on.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in α β γ; do node $host; done
tell β listen 80
connect α β
code 0 lonet refuse α β:80
tell α dial d β.lonet 80
tell α made d
is "$answer" ECONNREFUSED "a dial is refused"
tell γ dial d β.lonet 80
tell γ made d
is "$answer" 0 "not so one from another host"
tell β accept d
tell β listen 81
tell α dial e β.lonet 81
tell α made e
is "$answer" 0 "nor one of another port"
tell α send c goes-on
tell β wait c
is "$answer" goes-on "a connection that was there goes on"
code 0 rules
is "$out" "lonet refuse α β:80" "faults shows it"
kill_lonetd
tell α dial f β.lonet 80
tell α made f
is "$answer" ECONNREFUSED "the next lonetd refuses, too"
code 0 lonet heal α β
tell β listen 80
tell α dial g β.lonet 80
tell α made g
is "$answer" 0 "after heal a dial is made"

code 1 lonet refuse α ε:80
is "$err" "lonet: no host \"ε\" is up in network $LONET_NETWORK; up are: α, β, γ" "a host that is not up"
code 1 lonet refuse α β
like "$err" "^lonet: address \"β\"" "an address without a port"
