#!/bin/bash
# `lonet faults` says how often a rule has met something, and `lonet heal --expect-hit` fails where it never has.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

hits() { lonet faults --json | jq -c '[.rules[] | .hits]'; }

for host in α β γ; do node $host; done
tell β listen 80
connect α β
code 0 lonet cut α β
is "$(hits)" "[0,0]" "a cut begins with nothing"
code 1 lonet heal α β --expect-hit
is "$out" "healed 1 connection" "it is healed all the same"
is "$err" "lonet: nothing was affected by: lonet cut α β" "a cut that has met nothing is said"
is "$(lonet faults)" "" "and taken back"

# Of segments: what is sent and what is sent again, in one direction.
code 0 lonet cut α β
tell α send c lost
tell α lost c
like "$(lonet faults --json | jq -c '.rules[] | [.from, .hits >= 2]')" '\["α",true\]' "segments are counted where they were sent"
like "$(lonet faults --json | jq -c '.rules[] | [.from, .hits]')" '\["β",0\]' "and in no other direction"
like "$(lonet faults)" "^lonet cut α β  # [0-9]+ segments dropped$" "faults says it"
kill_lonetd
like "$(lonet faults)" "^lonet cut α β  # [0-9]+ segments dropped$" "the next lonetd, too"
code 0 lonet heal α β --expect-hit
tell β wait c
is "$answer" lost "it arrives after heal"

# What was dropped before is not the next rule's.
code 0 lonet cut α β
is "$(hits)" "[0,0]" "a cut of the same hosts begins with nothing"
code 0 lonet heal

# Of dials, also of those that have been given up since, and whether somebody listens there or not.
for port in 80 81; do
    code 0 lonet cut α β
    tell α dial d β.lonet $port
    tell α close d
    is "$(lonet faults --json | jq -c '[.rules[] | [.from, .hits]] | sort')" '[["α",1],["β",0]]' "a dial of port $port is counted"
    code 0 lonet heal --expect-hit
done
code 0 lonet cut γ α
tell α dial d β.lonet 80
tell α made d
code 1 lonet heal --expect-hit

# Of refusals.
code 0 lonet refuse α β:80
code 1 lonet heal α β --expect-hit
is "$err" "lonet: nothing was affected by: lonet refuse α β:80" "a refusal that nobody met"
code 0 lonet refuse α β:80
for _ in 1 2; do
    tell α dial e β.lonet 80
    tell α made e
done
is "$(lonet faults)" "lonet refuse α β:80  # 2 dials refused" "refused dials are counted"
code 0 lonet heal --expect-hit
code 1 lonet heal --expect-hit
is "$err" "lonet: --expect-hit: there was no fault to heal" "a fault that was healed before"
