#!/bin/bash
# Programs that bubblewrap has put into user, pid and ipc namespaces, of root and of users with a network of their own: they
# dial, listen and are dialed as their hosts, also when lonetd has been killed; where the owner cannot be told they are refused,
# with a reason that names the user namespace. Other users are let in by none, also from namespaces that show them as the owner.
. "$(dirname "$0")/../scenario.bash"
need bwrap python3 setpriv
# shellcheck source=../owners.bash
. "$tests/owners.bash"

if ! why=$(bwrap --unshare-user --dev-bind / / true 2>&1); then
    echo "skipped: no user namespace can be made here: $why"
    exit 0
fi
welcome
# Accepts on γ:81 and says nothing of whom it turns away.
cat >"$work/inside.py" <<'END'
import socket
s = socket.create_server(("", 81))
while True:
    try:
        s.accept()[0].sendall(b"welcome")
    except ConnectionError:
        pass
END
namespaces=(
    "--unshare-user"
    "--unshare-user --uid 1000 --gid 1000"
    "--unshare-user --unshare-ipc --uid 1000 --gid 1000"
    "--unshare-user --unshare-pid"
    "--unshare-user --unshare-pid --uid 1000 --gid 1000"
    "--unshare-user --unshare-pid --proc /proc --uid 1000 --gid 1000"
    "--unshare-user --unshare-pid --unshare-ipc --proc /proc"
    "--unshare-user --unshare-pid --unshare-ipc --proc /proc --uid 1000 --gid 1000"
)
host() { "${owner[@]}" timeout 60 lonet run --host "$@"; }
outside() { host β -- "$python" "$work/dial.py" "$@"; }
# bubblewrap ARGUMENTS COMMAND…
bubblewrap() {
    # The options have no blanks inside words.
    # shellcheck disable=SC2086
    host δ -- bwrap --die-with-parent $1 "${@:2}"
}
gone() { ! "${owner[@]}" lonet addr "$1"; }
start_inside() {
    # shellcheck disable=SC2086
    start inside "${owner[@]}" lonet run --host γ -- bwrap --die-with-parent $1 --dev-bind / / "$python" "$work/inside.py"
    inside=$pid
    "${owner[@]}" lonet wait --timeout 60 γ:81
    os=$("${owner[@]}" lonet addr γ:81)
}
stop_inside() {
    stop "$inside"
    until_true gone γ:81
}
lonetd() { pgrep -f "^lonetd daemon --network $LONET_NETWORK --dir $dir/"; }
# others_are_reset WHEN: another user, as it is and as one who looks like the owner.
others_are_reset() {
    local as
    [ "$(id -u)" = 0 ] || return 0
    for as in "" "bwrap --unshare-user --uid $uid --gid $uid --dev-bind / /" "bwrap --unshare-user --dev-bind / /"; do
        # shellcheck disable=SC2086
        is "$("${other[@]}" $as "$python" "$work/call.py" "$os")" reset "${as:-another user}: is reset $1"
    done
}

# is_refused COMMAND…
is_refused() {
    : >"$dir/why"
    ! "$@" >"$work/refused" 2>&1 || fail "it has dialed, and cannot tell whose network it is: $*"
    like "$(<"$dir/why")" "cannot tell whether the network is its owner's: this user namespace shows uid" "the reason is said"
}

# of UID
of() {
    local options
    uid=$1 dir=$work/of$1
    mkdir -m 711 "$dir"
    : >"$dir/why"
    chmod 666 "$dir/why"
    owner=(env TMPDIR="$dir" HOME="$dir" LONET_LOG="$dir/why")
    if [ "$(id -u)" = 0 ]; then
        chown "$uid:$uid" "$dir"
        owner+=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
    fi
    start "server$uid" "${owner[@]}" lonet run --host α -- "$python" "$work/server.py" 80
    server=$pid
    "${owner[@]}" lonet wait --timeout 60 α:80

    # All for each takes a minute and a half, which a busy machine makes more of.
    local tried=("${namespaces[@]}")
    [ "$uid" = "$(id -u)" ] || [ -n "${LONET_FULL-}" ] || tried=("${namespaces[@]::2}" "${namespaces[-1]}")
    for options in "${tried[@]}"; do
        echo "uid $uid: bwrap $options"
        is "$(bubblewrap "$options --dev-bind / /" "$python" "$work/dial.py" α.lonet 80 2>&1)" welcome "it dials"
        start_inside "$options"
        is "$(outside γ.lonet 81)" welcome "it listens"
        is "$(bubblewrap "$options --dev-bind / /" "$python" "$work/dial.py" γ.lonet 81 2>&1)" welcome "to others of its kind, too"
        is "$("${owner[@]}" "$python" "$work/call.py" "$os")" welcome "and to the owner's programs outside lonet"
        others_are_reset "by it"
        stop_inside
    done

    # lonetd cannot be asked who calls; then it is killed, and comes back in the namespaces of who has called it back.
    start_inside "${namespaces[-1]}"
    daemon=$(lonetd)
    kill -STOP "$daemon"
    [ "$(id -u)" != 0 ] || is "$("${other[@]}" "$python" "$work/call.py" "$os")" reset "with lonetd stopped another user is reset"
    kill -CONT "$daemon"
    kill_lonetd
    others_are_reset "with lonetd killed"
    is "$(outside γ.lonet 81)" welcome "a member is served then"
    for options in "${namespaces[0]}" "${namespaces[-1]}"; do
        kill_lonetd
        is "$(bubblewrap "$options --dev-bind / /" "$python" "$work/dial.py" γ.lonet 81 2>&1)" welcome "with lonetd killed one inside, too"
        is "$(outside α.lonet 80)" welcome "whose end harms none outside"
    done
    stop_inside

    # The network's directory is not there: lonetd is found by its other name, and the own number tells whose it is, unless
    # all who have none have the same.
    for options in "${namespaces[@]::2}"; do
        if [ "$uid $options" = "65534 ${namespaces[0]}" ]; then
            is_refused bubblewrap "$options --dev-bind / / --tmpfs $dir/lonet" "$python" "$work/dial.py" α.lonet 80
        else
            is "$(bubblewrap "$options --dev-bind / / --tmpfs $dir/lonet" "$python" "$work/dial.py" α.lonet 80 2>&1)" welcome \
                "without the network's directory, by bwrap $options, it dials"
        fi
    done
    # A member that was another user before has no way to tell whose lonetd is.
    if [ "$uid" = 0 ]; then
        for options in "${namespaces[@]}" "--unshare-user --uid 0 --gid 0"; do
            # shellcheck disable=SC2086
            is_refused host δ -- "${other[@]}" bwrap --die-with-parent $options --dev-bind / / "$python" "$work/dial.py" α.lonet 80
        done
    fi
    stop "$server"
}
chmod 644 "$work"/*.py
if [ "$(id -u)" = 0 ]; then
    other=(setpriv --reuid 65532 --regid 65532 --clear-groups)
    for uid in 0 65533 12345 65534; do of "$uid"; done
else
    of "$(id -u)"
fi
