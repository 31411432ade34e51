#!/bin/bash
# `lonet cut α`: from every other host, also from those that come later; its own connections to itself go on, and so do those
# of the others.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in α β γ; do
    node $host
    tell $host listen 80
done
connect β γ
tell α dial own α.lonet 80
tell α accept theirs
tell α dial loopback localhost 80
tell α accept loopback-too
tell γ dial to-α α.lonet 80
tell γ made to-α
code 0 lonet cut α
is "$out" "cut 1 connection" "one connection is to another host"
tell α send own itself
tell α wait theirs
is "$answer" itself "it reaches itself by its name"
tell α send loopback localhost
tell α wait loopback-too
is "$answer" localhost "and by its loopback"
tell β send c others
tell γ wait c
is "$answer" others "the others reach each other"
tell γ send to-α lost
tell γ lost to-α
node δ
tell δ dial d α.lonet 80
tell δ waits d
is "$answer" waits "a host that comes later does not reach it"
code 0 rules
is "$out" "lonet cut α" "faults shows it"

code 1 lonet heal α δ
is "$err" "lonet: the rule is about α and every other host, δ among them" "it cannot be healed for one of them"
code 0 lonet heal α
tell δ made d
is "$answer" 0 "after heal all reach it"
code 1 lonet heal α
is "$err" "lonet: there is no such rule" "there is nothing to heal any more"
code 0 lonet heal
