#!/bin/bash
# A file system that writes to another place each time needs room for what it has written before, too: a store into a
# mapped file that finds none is a SIGBUS, in lonetd and in programs.
if ! type mkfs.btrfs >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
    echo "skipped: only who may mount a btrfs in a mount namespace can fill one"
    exit 0
fi
[ "${LONET_FULL_DISK_INSIDE:-}" ] || LONET_FULL_DISK_INSIDE=1 exec unshare --mount "$0"
. "$(dirname "$0")/scenario.bash"

disk=$work/lonet
mkdir "$disk"
truncate -s 300M "$work/image"
mkfs.btrfs -q "$work/image" >/dev/null
if ! mount -o loop "$work/image" "$disk" 2>"$work/mount"; then
    echo "skipped: $(<"$work/mount")"
    exit 0
fi
chmod 1777 "$disk"

welcome
start server lonet run --host alpha -- python3 "$work/server.py" 80
lonet wait --timeout 120 alpha:80
# What is on the disk already is to be written again.
is "$(lonet run --host beta -- python3 "$work/dial.py" alpha.lonet 80)" "welcome" "there is room"
sync -f "$disk"
pid_of_lonetd=$(lonetd)
! dd if=/dev/zero of="$disk/filler" bs=4096 status=none 2>/dev/null || fail "the disk has no end"
sync -f "$disk"
for turn in 1 2 3; do
    is "$(lonet run --host beta -- python3 "$work/dial.py" alpha.lonet 80)" "welcome" "turn $turn on a full disk"
    sync -f "$disk"
done
is "$(lonetd)" "$pid_of_lonetd" "by the lonetd of before"
stop "$pid"
until_down "$LONET_NETWORK"
until_true umount "$disk"
