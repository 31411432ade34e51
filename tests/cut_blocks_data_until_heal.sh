#!/bin/bash
# What is sent after `lonet cut` has returned does not arrive, and arrives after `lonet heal`: on a connection that is there,
# on one that nobody has accepted, and on dials that were made meanwhile.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node α
node β
tell β listen 80
connect α β
tell α send c before
tell β wait c
is "$answer" before "what is sent before arrives"
tell α dial unaccepted β.lonet 80
tell α made unaccepted

code 0 lonet cut α β
is "$out" "cut 2 connections" "cut says how many connections there are"
tell α send c from-α
tell β send c from-β
tell α send unaccepted early
tell α lost c
tell β lost c
tell α lost unaccepted
tell α now c
is "$answer" nothing "nothing arrives from β"
tell β now c
is "$answer" nothing "nor from α"
tell β accept late
tell β now late
is "$answer" nothing "nor on a connection that is accepted now"
tell α dial syn β.lonet 80
is "$answer" EINPROGRESS "a dial is on its way"
tell α waits syn
tell α dial nobody β.lonet 81
is "$answer" EINPROGRESS "also to where nobody listens"
tell α waits nobody
tell β dial back α.lonet 80
tell β waits back
is "$answer" waits "and from the other side"
code 0 rules
is "$out" "lonet cut α β" "faults shows what has been done"

code 0 lonet heal α β
tell β wait c
is "$answer" from-α "after heal it arrives from α"
tell α wait c
is "$answer" from-β "and from β"
tell β wait late
is "$answer" early "and on the one that was not accepted"
tell α made syn
is "$answer" 0 "the dial is made"
tell α made nobody
is "$answer" ECONNREFUSED "where nobody listens it is refused"
tell β made back
is "$answer" ECONNREFUSED "as on the other side"
code 0 rules
is "$out" "" "no rule is left"
