#!/bin/bash
# What keeps `lonet run` from a network `lonet doctor` finds, too, and says it in the same words: a directory that another user
# has, or keeps closed, or that has no place; another network namespace.
. "$(dirname "$0")/scenario.bash"

# fails_alike WHAT TEXT COMMAND…: run by COMMAND, `lonet run` fails with this TEXT, and `lonet doctor` has a bad line of WHAT with it.
fails_alike() {
    local what=$1 text=$2
    shift 2
    code 125 "$@" lonet run --host α -- true
    is "$err" "lonet: network \"$LONET_NETWORK\": $text" "lonet run: $what"
    code 1 "$@" lonet doctor
    grep -qxF "bad      $what: $text" <<<"$out" || fail "no line \"bad      $what: $text\" in: $out"
    echo "ok: lonet doctor: $what"
}

none=$work/none
fails_alike directory "cannot make $none/lonet, the directory of all networks: $none does not exist: make it, or set TMPDIR to another directory" \
    env TMPDIR="$none"
fails_alike directory "cannot make $none/x/y, the directory of all networks: $none does not exist: make it, or set LONET_DIR to another directory" \
    env LONET_DIR="$none/x/y/$LONET_NETWORK" LONET_NETWORK="$LONET_NETWORK"
[ ! -e "$none" ] || fail "it was made"

mkdir -m 755 "$work/open"
mkdir -m 711 "$work/open/lonet"
mkdir -m 755 "$work/open/lonet/$LONET_NETWORK"
fails_alike directory "$work/open/lonet/$LONET_NETWORK, the network's directory, is open to others: use another network (-n), or remove it" \
    env TMPDIR="$work/open"

# A network in another network namespace, also while its lonetd is killed.
elsewhere=(unshare --net)
[ "$(id -u)" = 0 ] || elsewhere=(unshare --user --map-current-user --net)
if "${elsewhere[@]}" true 2>"$work/why"; then
    start host lonet run --host β -- sleep 1000
    until_true lonet ls β
    reason="this process is in another network namespace (a container, unshare -n, ip netns) than the network's programs, whose loopback it does \
not reach: start all of them in one, or use another network (LONET_NETWORK)"
    fails_alike lonetd "$reason" "${elsewhere[@]}"
    kill_lonetd
    code 1 "${elsewhere[@]}" lonet doctor
    grep -qxF "bad      lonetd: $reason" <<<"$out" || fail "with lonetd killed: $out"
    echo "ok: lonet doctor, while lonetd is killed"
    lonet down --kill
fi

[ "$(id -u)" = 0 ] || exit 0
chmod 711 "$work"
as_other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
mkdir -m 755 "$work/closed"
mkdir -m 700 "$work/closed/lonet"
fails_alike directory "cannot make the network's directory: EACCES: Permission denied (the directory is $work/closed/lonet/$LONET_NETWORK): set \
TMPDIR to a directory of your own" "${as_other[@]}" env TMPDIR="$work/closed"
chmod 1777 "$work/closed/lonet"
start host env TMPDIR="$work/closed" lonet run --host β -- sleep 1000
until_true env TMPDIR="$work/closed" lonet ls β
fails_alike directory "$work/closed/lonet/$LONET_NETWORK, the network's directory, belongs to uid 0: use another network (-n), or remove it" \
    "${as_other[@]}" env TMPDIR="$work/closed"
TMPDIR=$work/closed lonet down --kill
