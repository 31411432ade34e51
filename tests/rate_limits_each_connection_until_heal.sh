#!/bin/bash
# `lonet rate α β 1MB`: the kernel paces what α and β send to each other, on connections that are there and on those that are made
# meanwhile; heal takes it back. What it is for one socket the kernel says: no test asserts a speed.
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
free="-1 -1 "

node α
node β
tell β listen 80
connect α β
is "$(paced c)" "$free" "nothing is limited"
code 0 lonet rate α β 1.5MB
is "$out" "limited 1 connection" "it says how many"
is "$(lonet faults)" "lonet rate α β 1.5MB" "faults shows it"
is "$(paced c)" "1500000 1500000 " "a connection that was there is limited at both ends"
tell α dial d β.lonet 80
tell β accept d
tell α made d
is "$(paced d)" "1500000 1500000 " "so is one that is made meanwhile"
code 0 lonet rate 'α>β' 700kB
is "$(paced d)" "700000 1500000 " "another rate of one direction takes the place of the one before"
is "$(lonet faults | sort)" "$(printf "lonet rate '%s\n" "α>β' 700kB" "β>α' 1.5MB")" "faults shows both"
kill_lonetd
tell β option d 1 47 600000
code 0 lonet heal
is "$(paced c)" "$free" "after heal nothing is limited"
is "$(paced d)" "-1 600000 " "but by what a program has set itself"
tell α dial e β.lonet 80
tell β accept e
tell α made e
is "$(paced e)" "$free" "nor what is made afterwards"
code 0 lonet rate α 8Mbit --for 1h
like "$(lonet faults)" "^lonet rate α 1MB --for 3[56][0-9][0-9]\.[0-9]s$" "to all others, for a while"
is "$(paced e)" "1000000 1000000 " "both are limited"
code 1 lonet heal --expect-hit
is "$err" "lonet: --expect-hit cannot tell: what a rate or a delay affects is not counted" "hits of a rate"
code 1 lonet rate α β 5
is "$err" 'lonet: rate "5": a rate is a number followed by kB, MB, GB, KiB, MiB, kbit, Mbit or Gbit, a second' "no unit"
code 2 lonet rate α
