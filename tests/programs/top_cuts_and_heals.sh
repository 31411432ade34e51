#!/bin/bash
# Keys of `lonet top` cut two hosts off from each other, and heal them: it asks before it acts.
. "$(dirname "$0")/../scenario.bash"
need tmux
. "$tests/top.bash"
. "$tests/faults.bash"

for host in alpha beta gamma; do
    start "$host" lonet run -H "$host" -- sleep 1000
    until_true lonet ls "$host"
done
terminal 80 24
typed "lonet top" Enter
shows "^ gamma +127" "the hosts"
cut() {
    typed c
    shows "Cut: which host" "the first host is asked for"
    typed Enter
    shows "Cut alpha off from" "it is the one that is chosen in the list, if nothing else is typed"
    typed gam
    shows "▶ gamma" "the other one is chosen by its name"
    typed Enter
    shows "lonet cut alpha gamma" "it is asked"
}
cut
typed Enter
is "$(rules)" "" "nothing is done so far"
typed n
hides "lonet cut" "n leaves it"
is "$(rules)" "" "and nothing is done"
cut
typed y
until_true eval '[ "$(rules)" != "" ]'
like "$(rules)" "^lonet cut (alpha gamma|gamma alpha)$" "y does it"
shows "^cut 0 connections" "what was done is said"
shows "^ alpha .* cut$" "the hosts are marked"
typed 4 h
shows "The faults between (alpha and gamma|gamma and alpha) will be undone" "a fault is chosen"
typed y
until_true eval '[ "$(rules)" = "" ]'
shows "^healed 0 connections" "it is healed"
lonet cut beta
typed 1 h End Enter
shows "All faults of the network will be undone" "or everything is"
typed y
until_true eval '[ "$(rules)" = "" ]'
typed h Enter
shows "Heal between alpha and" "of hosts"
typed Enter
shows "lonet heal alpha beta" "that have no faults"
typed y
shows "there is no such rule" "an error is said"
