#!/bin/bash
# Events that cannot be written as the disk is full are counted; when there is room the trace goes on, and is readable.
if [ "${LONET_FULL_DISK_INSIDE:-}" != yes ]; then
    export LONET_FULL_DISK_INSIDE=yes
    for inside in "unshare --mount" "unshare --user --map-root-user --mount"; do
        # shellcheck disable=SC2086
        ! why=$($inside mount -t tmpfs none /mnt 2>&1) || exec $inside "$0"
    done
    echo "skipped: no small disk can be mounted here: $why"
    exit 0
fi
. "$(dirname "$0")/scenario.bash"
need jq
welcome

disk=$work/lonet
mkdir "$disk"
mount -t tmpfs -o size=64m,mode=1777 none "$disk"
fill() {
    ! dd if=/dev/zero of="$disk/filler" bs=4096 oflag=append conv=notrunc status=none 2>/dev/null || fail "the disk has no end"
}
dial() { lonet run --host laptop -- python3 "$work/dial.py" web.lonet 80 >/dev/null; }
count() { grep -c ' connected laptop:1 → web:80' || true; }

code 0 lonet trace --start
start web lonet run --host web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
dial
until_true eval 'lonet trace | grep -q "laptop host_down"'
# Other files of the network may become shorter, so that there is room again.
is_full() {
    fill
    dial
    echo dialed >>"$work/dials"
    lonet trace >/dev/null && grep -q "events cannot be written to the trace" "$disk/$LONET_NETWORK/log"
}
until_true is_full
for _ in {1..10}; do dial; done
before=$(lonet trace | count) all=$(($(wc -l <"$work/dials") + 11))
[ "$before" -ge 1 ] && [ "$before" -lt "$all" ] || fail "$before of $all dials are in the trace"
echo "ok: what there is room for is in the trace"
rm "$disk/filler"
dial
until_true eval 'lonet trace | grep -q " lost count="'
is "$(lonet trace | tail -n 50 | grep -A 50 ' lost count=' | count)" 1 "with room it goes on, behind the number of those that are lost"
cp "$disk/$LONET_NETWORK/trace" "$work/trace"
is "$(lonet trace --from "$work/trace" | count)" "$((before + 1))" "a copy is readable"
code 0 lonet trace --svg "$work/chart.svg"
stop "$pid"
until_down "$LONET_NETWORK"
until_true umount "$disk"
