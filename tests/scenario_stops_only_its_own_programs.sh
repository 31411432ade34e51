#!/bin/bash
# `stop` of tests/scenario.bash ends the programs that the scenario has started, and no other: one that it has waited for has left
# its pid to whatever program comes next.
. "$(dirname "$0")/scenario.bash"

start own sleep 1000
own=$pid
# No child of this shell, as that of its substitution was its parent. It ends when this shell does.
mkfifo "$work/input"
other=$(cat "$work/input" >"$work/other" & echo $!)
exec 8>"$work/input"
stop "$own" "$other"
ended "$own" || fail "the scenario's own program runs"
! ended "$other" || fail "another program has been ended"
echo here >&8
until_true grep -q here "$work/other"
echo "ok: its own program is ended, and no other"
