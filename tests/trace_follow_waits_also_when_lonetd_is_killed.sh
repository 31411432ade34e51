#!/bin/bash
# Who follows a trace waits until something is written, without looking in between, and goes on with the next lonetd when one is
# killed.
. "$(dirname "$0")/scenario.bash"
need strace

start follow strace -qq -e trace=poll,ppoll,clock_nanosleep -o "$work/calls" lonet trace --follow
waits() { # without a time limit
    [[ $(tail -n 1 "$work/calls") == *poll\(*", 2, -1"* ]]
}
follow=$pid
until_true waits
for name in α β γ; do
    [ $name != β ] || kill_lonetd
    lonet run --host $name -- true
    until_true grep -q "$name.*up" "$work/follow"
    echo "ok: it tells of $name"
done
if grep -q 'tv_nsec=20000000\|poll(.*, 20)' "$work/calls"; then fail "it looks from time to time"; fi
echo "ok: and has only waited"
kill "$(pgrep -P "$follow")"
