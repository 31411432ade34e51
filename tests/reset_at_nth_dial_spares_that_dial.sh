#!/bin/bash
# `lonet reset α β --at 2`: with α's second dial of β from now on the connections that are there are reset, once, before it is
# made; other dials do not count, and lonetd's death changes nothing.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in α β γ; do
    node $host
    tell $host listen 80
done
connect α β
tell γ dial other α.lonet 80
tell α accept other
tell γ made other
code 0 lonet reset α β --at 2
is "$(lonet faults)" "lonet reset α β --at 2" "faults shows which dial it waits for"
tell β dial back α.lonet 80
tell β made back
is "$answer" 0 "β's dials do not count"
tell α dial first β.lonet 80
tell β accept first
tell α made first
is "$(lonet faults)" "lonet reset α β --at 1" "one has been counted"
kill_lonetd
tell α dial second β.lonet 80
tell α made second
is "$answer" 0 "the dial itself is made"
tell β accept second
is "$(lonet faults)" "lonet reset α β  # 3 connections reset" "it says what it has reset"
for name in c first; do
    tell α wait $name
    is "$answer" ECONNRESET "$name is reset at α"
    tell β wait $name
    is "$answer" ECONNRESET "$name is reset at β"
done
tell α send second passes
tell β wait second
is "$answer" passes "the second one goes on"
tell γ now other
is "$answer" nothing "connections of others go on"
tell α dial third β.lonet 80
tell β accept third
tell α now second
is "$answer" nothing "it was for once"
code 0 lonet heal --expect-hit
is "$(lonet faults)" "" "heal takes it back"
code 0 lonet reset α --at 1
is "$(lonet faults)" "lonet reset α --at 1" "from all others"
code 1 lonet heal --expect-hit
is "$err" "lonet: nothing was affected by: lonet reset α --at 1" "no dial came"
code 2 lonet reset α β --at 0
