#!/bin/bash
# A supervised program of root's that has given up its user id gets a privileged port of the machine no more than it would alone,
# though its supervisor may have it; root itself gets it, and a port of its host each of them.
[ "${LONET_BINDS_INSIDE:-}" ] || {
    if [ "$(id -u)" != 0 ] || ! unshare --net true 2>/dev/null; then
        echo "skipped: only root, in a network namespace of its own, can try privileged ports"
        exit 0
    fi
    # The machine's ports are not taken.
    LONET_BINDS_INSIDE=1 exec unshare --net bash -c 'ip link set lo up && ip addr add 192.0.2.1/32 dev lo && exec "$0"' "$0"
}
. "$(dirname "$0")/scenario.bash"
. "$(dirname "$0")/owners.bash"

cat >"$work/binds.py" <<'END'
# UID ADDRESS: binds port 25 of it as this user.
import os, socket, sys
uid = int(sys.argv[1])
os.setgroups([]), os.setgid(uid), os.setuid(uid)
try:
    with socket.socket() as s:
        s.bind((sys.argv[2], 25))
    print("bound")
except OSError as e:
    print(e.strerror)
END
[ "$(sysctl -n net.ipv4.ip_unprivileged_port_start)" -gt 25 ] || { echo "skipped: port 25 is not privileged here" && exit 0; }
binds() { "${@:3}" "$python" "$work/binds.py" "$1" "$2"; }
for how in never always; do
    run=(lonet run --host α --supervise "$how" --)
    for uid in 65534 65533; do
        is "$(binds $uid 192.0.2.1 "${run[@]}")" "$(binds $uid 192.0.2.1 env)" "uid $uid, supervised $how: as alone"
        is "$(binds $uid 192.0.2.1 "${run[@]}")" "Permission denied" "which is not to have it"
        is "$(binds $uid 0.0.0.0 "${run[@]}")" bound "uid $uid, supervised $how: the port of its host"
    done
    is "$(binds 0 192.0.2.1 "${run[@]}")" bound "root, supervised $how, has it"
done
