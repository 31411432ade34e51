#!/bin/bash
# `lonet cut --for`: it heals by itself. The network does not end while a rule stands, though nobody is in it.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node α
node β
node γ
tell β listen 80
connect α β
code 0 lonet cut --for 1500ms α β
tell α send c lost
tell α lost c
tell β now c
is "$answer" nothing "nothing arrives"
like "$(rules)" "^lonet cut α β --for [01]\.[0-9]s$" "faults shows how long it is still to last"
tell β wait c
is "$answer" lost "it heals by itself"
code 0 rules
is "$out" "" "and the rule is gone"

# A lonetd that was killed does not see the time pass: whoever dials next starts one, even if another rule is in force.
code 0 lonet cut β γ
ip=$(lonet addr --host β:80)
code 0 lonet cut --for 1s α β
kill_lonetd
dial_starts_one() {
    tell α dial late "$ip" 80
    lonetd && return
    # On a busy machine the time has passed before the kill.
    tell α send late x
    [ "$answer" = sent ]
}
until_true dial_starts_one
tell β accept late
tell α made late
is "$answer" 0 "a dial starts a lonetd, which heals what is over"
is "$(rules)" "lonet cut β γ" "and nothing else"
code 0 lonet heal
for time in 5 0s -1s 1d; do
    code 2 lonet cut "--for=$time" α β
done

code 0 lonet cut α β
daemon=$(lonetd)
stop "${node_pid[@]}"
until_true eval '[ "$(lonet ls)" = "" ]'
is "$(lonetd)" "$daemon" "without hosts the network is there"
# It ends three seconds after the last rule.
code 0 lonet heal
until_true ended "$daemon"
is "$(lonetd)" "" "without rules it ends"
