#!/bin/bash
# Programs that a supervised bubblewrap has put into namespaces of their own for users, processes and IPC dial, listen and are
# dialed as their host.
. "$(dirname "$0")/../scenario.bash"
need bwrap python3

if ! why=$(bwrap --unshare-user --dev-bind / / true 2>&1); then
    echo "skipped: no user namespace can be made here: $why"
    exit 0
fi
welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
bubblewrap() { lonet run --host β --supervise always -- "${bwrap[@]}" "$@"; }
gone() { ! lonet addr γ:80; }
for what in "--unshare-user" "--unshare-user --uid 1000 --gid 1000" "--unshare-user --unshare-pid --unshare-ipc --proc /proc"; do
    read -ra options <<<"$what"
    bwrap=(bwrap --die-with-parent "${options[@]}" --dev-bind / /)
    is "$(bubblewrap python3 "$work/dial.py" α.lonet 80 2>&1)" welcome "bwrap $what: it dials"
    # shellcheck disable=SC2016
    is "$(bubblewrap sh -c '[ "$(readlink /proc/self/ns/user)" != "$0" ] && sed -n "s/^Seccomp_filters:\t//p" /proc/self/status' \
        "$(readlink /proc/self/ns/user)")" 1 "in another user namespace, under lonet's filter"
    start inside lonet run --host γ --supervise always -- "${bwrap[@]}" python3 "$work/server.py" 80
    lonet wait --timeout 120 γ:80
    is "$(lonet run --host δ -- python3 "$work/dial.py" γ.lonet 80)" welcome "a hooked program dials it"
    is "$(bubblewrap python3 "$work/dial.py" γ.lonet 80 2>&1)" welcome "and so does one of its kind"
    stop "$pid"
    until_true gone
done
