#!/bin/bash
# `lonet cut 'α>β'`: what α sends does not arrive at β, and what β sends arrives at α.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node α
node β
tell α listen 80
tell β listen 80
connect α β
code 0 lonet cut 'α>β'
tell α send c lost
tell α lost c
tell β now c
is "$answer" nothing "nothing arrives from α"
tell β send c passes
tell α wait c
is "$answer" passes "what β sends arrives"
tell β lost c
is "$answer" lost "and β does not hear that it has"
tell β dial d α.lonet 80
tell β waits d
is "$answer" waits "no handshake is made in either direction"
code 0 rules
is "$out" "lonet cut 'α>β'" "faults shows the direction"
code 0 lonet heal 'α>β'
tell β wait c
is "$answer" lost "after heal it arrives"
tell β made d
is "$answer" 0 "and the handshake is made"
