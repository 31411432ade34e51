#!/bin/bash
# A network that nobody is in any more ends, also while `lonet top` watches it.
. "$(dirname "$0")/../scenario.bash"
need tmux
. "$tests/top.bash"

start alpha lonet run -H alpha -- sleep 1000
alpha=$pid
until_true lonet ls alpha
terminal 80 24
typed "lonet top" Enter
shows "^ alpha +127" "it watches"
until_true watched
stop "$alpha"
shows "alpha host_down" "the last host goes down"
shows "network \"$LONET_NETWORK\" has ended" "and the network ends"
