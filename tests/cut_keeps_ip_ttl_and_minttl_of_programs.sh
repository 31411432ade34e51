#!/bin/bash
# Programs that set IP_TTL or IP_MINTTL are shown what they have set while they are cut off, and what they set then does not
# undo the cut.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"
ttl=2 least=21

node α
node β
tell β listen 80
connect α β
tell α get c 0 $ttl
default=$answer
tell α option c 0 $ttl 100
tell β option c 0 $least 50
code 0 lonet cut α β
tell α get c 0 $ttl
is "$answer" 100 "IP_TTL while it is cut"
tell α get c 0 $least
is "$answer" 0 "IP_MINTTL while it is cut"
tell β get c 0 $least
is "$answer" 50 "at the other end"
tell β get c 0 $ttl
is "$answer" "$default" "what was not set"
tell α option c 0 $ttl 255
tell α option c 0 $least 1
tell β option c 0 $least 0
tell α send c lost
tell α lost c
tell β now c
is "$answer" nothing "what is set does not undo it"
tell β send c lost
tell β lost c
tell α now c
is "$answer" nothing "in neither direction"
tell α get c 0 $ttl
is "$answer" 255 "and is shown"
code 0 lonet heal
tell β wait c
is "$answer" lost "after heal all arrives"
tell α wait c
is "$answer" lost "in both directions"
tell α get c 0 $ttl
is "$answer" 255 "and the options are what they were set to"
tell β get c 0 $least
is "$answer" 0 "at both ends"
