#!/bin/bash
# `lonet top` has colours, and none where NO_COLOR is set.
. "$(dirname "$0")/../scenario.bash"
need tmux
. "$tests/top.bash"

start alpha lonet run -H alpha -- sleep 1000
until_true lonet ls alpha
terminal 80 24
coloured() { terminals capture-pane -e -p -t top | grep -qE $'\e\\[([0-9;]*;)?(3[0-7]|9[0-7]|38|48)[;m]'; }
typed "lonet top" Enter
shows "^ alpha +127" "it is shown"
coloured || fail "nothing has a colour"
typed q
shows "^ready>" "it ends"
typed "clear; NO_COLOR=1 lonet top" Enter
shows "^ alpha +127" "it is shown"
! coloured || fail "something has a colour"
echo "ok: without colours"
