#!/bin/bash
# `lonet rate α β 1MB --at 2` takes effect with α's second dial of β, on all their connections; loss and delay likewise.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

# SO_MAX_PACING_RATE is 47; the kernel says 32 bits of it.
paced() {
    local host
    for host in α β; do
        tell $host get "$1" 1 47
        echo "$answer"
    done | tr '\n' ' '
}

node α
node β
tell β listen 80
connect α β
code 0 lonet rate 'α>β' 700kB
code 0 lonet rate α β 1.5MB --at 2
is "$(rules | sort)" "$(printf "lonet rate %s\n" "'α>β' 700kB" "α β 1.5MB --at 2")" "faults shows both"
tell β dial back β.lonet 80
tell β accept back
tell α dial d β.lonet 80
tell β accept d
tell α made d
is "$(rules | sort)" "$(printf "lonet rate %s\n" "'α>β' 700kB" "α β 1.5MB --at 1")" "after the first dial"
is "$(paced d)" "700000 -1 " "it waits, and the rule that stands is as it was"
kill_lonetd
tell α dial e β.lonet 80
tell β accept e
tell α made e
for name in c d e; do
    is "$(paced $name)" "700000 1500000 " "with the second dial connection $name is limited; the lower rate counts"
done
code 0 lonet heal
is "$(paced c)" "-1 -1 " "and healed"

code 0 lonet loss α β 50% --at 1
is "$(lonet faults)" "lonet loss α β 50% --at 1" "loss waits, too"
tell α dial f β.lonet 80
tell β accept f
tell α made f
is "$(lonet faults)" "lonet loss α β 50%" "and takes effect"
is_lossy() {
    tell α send f x
    tell β now f
    lonet faults | grep -q dropped
}
until_true is_lossy
code 0 lonet heal --expect-hit
code 2 lonet delay α β 1ms --at 0
code 2 lonet rate α β 1MB --at 3 --for 1s
