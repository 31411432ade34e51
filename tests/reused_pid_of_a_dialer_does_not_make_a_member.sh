#!/bin/bash
# A program dials while lonetd is stopped, and both are killed. The next lonetd finds the dial when the pid is an unrelated
# program's, which is not kept from anything: it is no member, and the network ends without it.
if [ -z "${LONET_INSIDE-}" ]; then
    # Which pid is the next is to be said in a namespace of one's own, which another user makes in a user namespace.
    inside=(unshare --pid --fork --kill-child --mount-proc)
    [ "$(id -u)" = 0 ] || inside+=(--user --map-root-user)
    if ! why=$("${inside[@]}" true 2>&1); then
        echo "skipped: no pid namespace can be made here: $why"
        exit 0
    fi
    LONET_NETWORK=${LONET_NETWORK:-t$$} LONET_INSIDE=1 exec "${inside[@]}" "$0" "$@"
fi
. "$(dirname "$0")/scenario.bash"
need ss unshare

welcome
start_self_dialer
self=$pid
start server lonet run --host β -- python3 "$work/server.py" 81
lonet wait β:81
server=$pid
dialer 8
dialer=${dialers[8]}
stop_lonetd
echo >&8
until_true eval '[ "$(wc -l <"$work/out8")" = 2 ]'
# Before lonetd: it would start another one.
kill -KILL "$dialer"
wait "$dialer" 2>/dev/null || true
kill_lonetd
# another: an unrelated program has the pid.
another() {
    echo "$((dialer - 1))" >/proc/sys/kernel/ns_last_pid
    sleep 60 &
    started+=("$!")
    [ "$!" = "$dialer" ]
}
until_true another
lonet ls >"$work/ls"
kill "$self" "$server"
wait "$self" "$server" 2>/dev/null || true
code 0 lonet down
is "$(cat "/proc/$dialer/comm")" sleep "the unrelated program"
