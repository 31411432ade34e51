#!/bin/bash
# `lonet cut a,b c,d`: nothing passes between the groups, and all within each.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in a b c d; do
    node $host
    tell $host listen 80
done
connect a b
connect c d
tell a dial across d.lonet 80
tell a made across
code 0 lonet cut a,b c,d.lonet
is "$(rules | sort)" "$(printf 'lonet cut %s\n' 'a c' 'a d' 'b c' 'b d')" "a rule for each pair"
is "$(lonet faults --json | jq -c '[(.rules | length), .connections, .unreached]')" \
    '[8,{"both":0,"one":1,"none":0},[]]' "in JSON with how many connections are shut"
tell a send c within
tell b wait c
is "$answer" within "within a group all passes"
tell c send c within
tell d wait c
is "$answer" within "also within the other one"
tell a send across lost
tell a lost across
is "$answer" lost "nothing passes between them"
code 0 lonet heal a,b c
tell d accept across
tell d now across
is "$answer" nothing "a pair stays cut that is not healed"
code 0 lonet heal
tell d wait across
is "$answer" lost "heal without hosts heals all"
