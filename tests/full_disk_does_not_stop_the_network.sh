#!/bin/bash
# The disk with the network's directory is full, from some moment on or from the start: programs bind, dial and accept as
# ever, and nobody is killed. Only a lonetd after this one could know less, until there is room again.
if [ "$(id -u)" != 0 ] || ! unshare --mount mount -t tmpfs none /mnt 2>/dev/null; then
    echo "skipped: only who may mount a small disk in a mount namespace can fill one"
    exit 0
fi
[ "${LONET_FULL_DISK_INSIDE:-}" ] || LONET_FULL_DISK_INSIDE=1 exec unshare --mount "$0"
. "$(dirname "$0")/scenario.bash"

fill() { ! dd if=/dev/zero of="$disk/filler" bs=4096 status=none 2>/dev/null || fail "the disk has no end"; }

disk=$work/lonet
mkdir "$disk"
mount -t tmpfs -o size=64m,mode=1777 none "$disk"

cat >"$work/server.py" <<'END'
import socket
s = socket.create_server(("", 80))
while True:
    c, a = s.accept()
    c.sendall(f"{socket.gethostbyaddr(a[0])[0]}:{a[1]}".encode())
    c.close()
END
cat >"$work/many.py" <<'END'
import socket, sys
listeners = []
for i in range(300):
    s = socket.create_server(("", 0))
    listeners.append(s)
    c = socket.create_connection(s.getsockname())
    a, peer = s.accept()
    assert peer == c.getsockname(), (peer, c.getsockname())
    c.close(), a.close()
    c = socket.create_connection(("alpha.lonet", 80))
    said = c.recv(100, socket.MSG_WAITALL).decode()
    assert said == f"{socket.gethostname()}:{c.getsockname()[1]}", said
    c.close()
print("all well", flush=True)
sys.stdin.read()
END

start server lonet run --host alpha -- python3 "$work/server.py"
lonet wait --timeout 120 alpha:80
pid_of_lonetd=$(lonetd)
# The log has room: what else cannot be written is said there, too, and is said first.
fallocate --keep-size --length 512K "$disk/$LONET_NETWORK/log"
fill
is "$(lonet run --host beta -- python3 "$work/many.py" </dev/null)" "all well" "programs bind, dial and accept while the disk is full"
is "$(lonetd)" "$pid_of_lonetd" "by the lonetd of before"
like "$(<"$disk/$LONET_NETWORK/log")" "registry.db: database or disk is full" "which says in its log what it cannot"

mkfifo "$work/in"
lonet run --host beta -- python3 "$work/many.py" <"$work/in" >"$work/many" &
started+=($!)
exec 9>"$work/in"
until_true grep -q "all well" "$work/many"
rm "$disk/filler"
lonet run --host gamma -- python3 -c 'import socket; socket.create_server(("", 0))'
before=$(lonet ls)
# Until a killed lonetd has lost its last descriptor, `lonet ls` may find it resetting connections.
as_before() { [ "$(lonet ls)" = "$before" ]; }
kill -KILL "$pid_of_lonetd"
until_true ended "$pid_of_lonetd"
until_true as_before
echo "ok: once there is room again, all is saved"
exec 9>&-
stop "${started[@]}"
until_down "$LONET_NETWORK"

# Not even the files of the start find room.
export LONET_NETWORK=$LONET_NETWORK-b
fill
start server lonet run --host alpha -- python3 "$work/server.py"
lonet wait --timeout 120 alpha:80
is "$(lonet run --host beta -- python3 "$work/many.py" </dev/null)" "all well" "a network begins on a full disk"
stop "$pid"
until_down "$LONET_NETWORK"
rm "$disk/filler"
is "$(ls -A "$disk")" "" "and leaves nothing else"
until_true umount "$disk"
