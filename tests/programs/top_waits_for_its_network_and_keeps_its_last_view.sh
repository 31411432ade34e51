#!/bin/bash
# `lonet top` waits for a network that does not run, which it does not start, and keeps the last view of one that has ended.
. "$(dirname "$0")/../scenario.bash"
need tmux
. "$tests/top.bash"

terminal 80 24
typed "lonet top; echo code \$?" Enter
shows "network \"$LONET_NETWORK\" is not running; waiting for it" "it says what it waits for"
[ ! -e "$TMPDIR/lonet" ] || fail "it has started something"
start alpha lonet run -H alpha -- sleep 1000
shows "^ alpha +127.* sleep" "it shows the network when it runs"
hides "waiting" "and says no more that it waits"
until_true watched
kill_lonetd
start beta lonet run -H beta -- sleep 1000
shows "^ beta +127.* sleep" "it goes on when lonetd was killed"
# Events reach it, too, when it watches the next lonetd.
saw_event() { lonet run -H delta -- true && screen && grep -qE "^ [0-9:.]+ delta " "$work/screen"; }
until_true saw_event
until_true lonet down --kill
shows "network \"$LONET_NETWORK\" has ended" "the end of the network is said"
# The hosts may have gone from it before the network had ended; events stay.
shows "ENDED" "the view is the last one"
shows "^ [0-9:.]+ delta " "and is kept"
start gamma lonet run -H gamma -- sleep 1000
shows "^ gamma +127.* sleep" "a network of the same name is shown"
typed q
shows "^code 0" "until q"
