#!/bin/bash
# `lonet doctor` says of each thing that lonet needs whether it is good, limited or bad, and what to do about what is bad.
. "$(dirname "$0")/scenario.bash"

code 0 lonet doctor
is "$(cut -d : -f 1 <<<"$out" | sed -E 's/^(good|limited) +//' | xargs)" \
    "lonet lonetd directory loopback kernel sock_diag pidfd_getfd source ports low ports Go programs partitions" "all is well, or nearly"
like "$out" "lonetd: network \"$LONET_NETWORK\" is not running.*; the first program starts one" "no lonetd"
[ ! -e "$TMPDIR/lonet" ] || fail "it was started"
start host lonet run -H α -- sleep 1000
up() { lonet ls α; }
until_true up
code 0 lonet doctor
like "$out" "good     lonetd: serves network $LONET_NETWORK" "one that serves"
like "$out" "good     directory: $TMPDIR/lonet/$LONET_NETWORK of uid $(id -u)" "its directory"

code 1 env TMPDIR="$work/none" lonet doctor
like "$out" "bad      directory: cannot make $work/none/lonet, .*: $work/none does not exist: make it, or set TMPDIR to another" "no place for it"
mkdir -m 777 "$work/open" "$work/open/lonet"
chmod 777 "$work/open/lonet"
code 0 env TMPDIR="$work/open" lonet doctor
like "$out" "limited  directory: $work/open/lonet is open to others: using $work/open/lonet-$(id -u);" "a directory that others may change"
if [ "$(id -u)" = 0 ] && unshare -n true; then
    code 1 unshare -n lonet doctor -n "$LONET_NETWORK-new"
    like "$out" "bad      loopback: 127.1.2.3 cannot be reached \(.*\): \`ip link set lo up\`" "no loopback"
fi
