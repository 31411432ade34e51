#!/bin/bash
# `lonet delay α β 50ms`: where the loopback has no fq it is refused, with what to do; within a namespace that has it what is sent is on
# its way for so long, until heal. That a round trip takes at least as long the kernel says; no test asserts how long at most.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

late() { # NAME: TCP_TX_DELAY at both ends
    local host
    for host in α β; do
        tell $host get "$1" 6 37
        echo "$answer"
    done | tr '\n' ' '
}

node α
node β
tell β listen 80
connect α β
if [ -z "${DELAY_INSIDE-}" ]; then
    if ! tc qdisc show dev lo 2>/dev/null | grep -q '^qdisc fq '; then
        code 1 lonet delay α β 50ms
        is "$err" "lonet: the kernel delays what goes through the fq queueing discipline alone: as root, \`tc qdisc replace dev lo root fq\`, or run the whole network within \`unshare -Urn\` and do it there" \
            "it is refused"
        is "$(lonet faults)" "" "there is no rule"
        is "$(late c)" "0 0 " "and no delay"
    fi
    # shellcheck disable=SC2016
    inside='ip link set lo up && tc qdisc replace dev lo root fq && [ -z "$1" ] || exec bash "$1"'
    if ! unshare -Urn bash -c "$inside" - "" 2>/dev/null; then
        echo "not tested: no namespace with fq can be had here"
        exit 0
    fi
    env -u LONET_NETWORK DELAY_INSIDE=1 unshare -Urn bash -c "$inside" - "$0"
    exit
fi

code 0 lonet delay α β 50ms
is "$out" "delayed 1 connection" "it says how many"
like "$(lonet faults)" "^lonet delay (α β|β α) 50ms$" "faults shows it"
is "$(late c)" "50000 50000 " "at both ends"
tell α dial d β.lonet 80
tell β accept d
tell α made d
is "$(late d)" "50000 50000 " "so is one that is made meanwhile"
tell α send d hello
tell β wait d
is "$answer" hello "what is sent arrives"
tell β send d answer
tell α wait d
is "$answer" answer "in both directions"
tell α rtt d
[ "$answer" -ge 50000 ] || fail "a round trip takes as long: $answer µs"
echo "ok: a round trip takes as long"
code 0 lonet delay 'α>β' 20ms
is "$(late d)" "20000 50000 " "another one of one direction takes the place of the one before"
code 0 lonet heal
is "$(late d)$(late c)" "0 0 0 0 " "after heal nothing is delayed"
code 1 lonet delay α β 2m
is "$err" 'lonet: delay "2m": a delay is at most a minute' "too long"
