#!/bin/bash
# A program is killed while what it said of a dial waits for lonetd: when lonetd hears of it the dial holds no port, and the
# next program's dial has the first one.
. "$(dirname "$0")/scenario.bash"
need ss

start_self_dialer
dialer 8
dialer 9
stop_lonetd
echo >&8
until_true is_knocked_for
kill -KILL "${dialers[8]}"
wait "${dialers[8]}" 2>/dev/null || true
echo >&9
# Some time after it has said where it goes it asks.
until_true waits
kill -CONT "$daemon"
until_true eval '[ "$(wc -l <"$work/out9")" = 2 ]'
is "$(tail -n 1 "$work/out9")" 1 "the first free port"
