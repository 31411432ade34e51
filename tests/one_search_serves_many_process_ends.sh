#!/bin/bash
# `lonet down --kill` of many hosts looks for members a few times and not for each of them, at the owner's processes alone:
# what another user shows of a process, and how long it takes to read, is not lonetd's to wait for.
. "$(dirname "$0")/scenario.bash"
need jq strace

readonly hosts=40
for ((i = 0; i < hosts; i++)); do
    start "host$i" lonet run --host "h$i" -- sleep 1000
done
start own sleep 1000
own=$pid
other=
if [ "$(id -u)" = 0 ]; then
    start other setpriv --reuid 65534 --regid 65534 --clear-groups sleep 1000
    other=$pid
    until_true grep -qx sleep "/proc/$other/comm"
fi
all_up() { [ "$(lonet ls --json | jq ".hosts | length")" = "$hosts" ]; }
until_true all_up
daemon=$(lonetd)
strace -f -qq -y -e trace=openat,open -o "$work/trace" -p "$daemon" 2>"$work/strace" &
strace=$!
is_traced() { [ "$(awk '/^TracerPid/ { print $2 }' "/proc/$daemon/status")" != 0 ]; }
until_true is_traced
code 0 lonet down --kill
wait "$strace" || true

lists=$(grep -c '"/proc", ' "$work/trace")
((lists > 0)) || fail "the trace does not show how processes are looked for"
# A search reads the list of processes until it finds no new ones, eight times at most.
((lists <= 32)) || fail "the list of processes was read $lists times for $hosts ends"
echo "ok: the list of processes was read $lists times for $hosts ends"
grep -Eq "</proc/$own>, \"(environ|maps)\"" "$work/trace" || fail "a process of the owner's was not looked at"
echo "ok: a process of the owner's was looked at"
if [ -n "$other" ]; then
    ! grep -Eq "/proc/$other>?(/|\", |, \")(environ|maps)" "$work/trace" || fail "another user's process was looked at"
    echo "ok: another user's was not"
fi
