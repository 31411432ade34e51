#!/bin/bash
# `lonet reset α β`: who reads or waits at either end sees a reset, also on a connection that nobody has accepted; the ports are
# free at once, and what is dialed afterwards is made.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in α β γ; do node $host; done
tell β listen 80
connect α β
tell γ dial d β.lonet 80
tell β accept d
tell γ made d
tell α dial unaccepted β.lonet 80
tell α made unaccepted
code 0 lonet reset α β
is "$out" "reset 2 connections" "it says how many there were"
tell α wait c
is "$answer" ECONNRESET "the dialing end sees a reset"
tell β wait c
is "$answer" ECONNRESET "and the accepting one"
tell α wait unaccepted
is "$answer" ECONNRESET "also where nobody has accepted it"
is "$(lonet ls --json | jq -c '[.hosts[] | select(.name == "α").sockets[]]')" "[]" "the ports are free"
tell γ send d others
tell β wait d
is "$answer" others "other connections go on"
tell α dial again β.lonet 80
tell α made again
is "$answer" 0 "a dial afterwards is made"
code 0 rules
is "$out" "" "there is no rule"

# Across a cut, where no segment passes.
code 0 lonet cut β γ
code 0 lonet reset β γ
tell γ wait d
is "$answer" ECONNRESET "during a cut both ends are reset, too"
tell β wait d
is "$answer" ECONNRESET "the other one as well"
code 0 lonet heal
