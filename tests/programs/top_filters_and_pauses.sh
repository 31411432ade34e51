#!/bin/bash
# `lonet top` shows only what has a text in it while there is a filter, and nothing new while it is paused.
. "$(dirname "$0")/../scenario.bash"
need tmux
. "$tests/top.bash"

start alpha lonet run -H alpha -- sleep 1000
start beta lonet run -H beta -- sleep 1000
terminal 80 24
typed "lonet top" Enter
shows "^ alpha +127" "a host"
shows "^ beta +127" "and another one"
typed / ALP
shows "Hosts 1 of 2" "the filter works while it is typed, in letters of any size"
hides "^ beta " "other rows are hidden"
typed Enter
shows "/ALP *$" "the filter is said"
typed / Escape
shows "^ alpha " "Esc leaves the filter as it was"
typed / BSpace BSpace BSpace Enter
shows "^ beta " "without a filter all is there"
typed p
shows "PAUSED" "it is paused"
start gamma lonet run -H gamma -- sleep 1000
until_true lonet ls gamma
hides "gamma" "what is new is not shown"
typed p
shows "^ gamma " "until it goes on"
