#!/bin/bash
# <tmp>/lonet that another user has made, or can change, is not used: <tmp>/lonet-<uid> takes its place, every command
# says so in one line, and all finds together there. What root or the owner has made is used, and nothing is said.
. "$(dirname "$0")/scenario.bash"
. "$(dirname "$0")/owners.bash"
welcome

# fresh: an empty <tmp>, as everybody's is.
fresh() { rm -rf "$work/tmp" && mkdir -m 1777 "$work/tmp"; }

# used DIRECTORY WHAT: the owner's network is in it, and nothing is said; it is ended.
used() {
    code 0 "${owner[@]}" lonet run --host α -- sh -c 'echo "$LONET_DIR"'
    is "$out $err" "$TMPDIR/$1/$LONET_NETWORK " "$uid: $2: used"
    code 0 "${owner[@]}" lonet down
}

# replaced WHY WHAT: <tmp>/lonet-<uid> is used instead.
replaced() {
    local text="lonet: $TMPDIR/lonet $1: using $TMPDIR/lonet-$uid; Go and Python peers look in $TMPDIR/lonet alone" command
    code 0 "${owner[@]}" lonet run --host α -- sh -c 'echo "$LONET_DIR"; stat -c %a "${LONET_DIR%/*}"'
    is "$out" "$TMPDIR/lonet-$uid/$LONET_NETWORK"$'\n'700 "$uid: $2: $TMPDIR/lonet-$uid is used"
    is "$err" "$text" "and it is said"
    for command in ls "addr α:1" down env; do
        "${owner[@]}" lonet $command </dev/null >"$work/out" 2>"$work/err" || true
        is "$(grep -cF "$text" "$work/err")" 1 "lonet $command says it once"
    done
    is "$(cd "$TMPDIR/lonet-$uid" && ls -A)" "" "nothing is left of it"
}

for_each_owner() {
    export TMPDIR=$work/tmp
    fresh
    used lonet "nothing is there"
    "${owner[@]}" mkdir -m 1777 "$TMPDIR/lonet"
    used lonet "the owner's, for all"
    "${owner[@]}" mkdir -m 755 "$TMPDIR/lonet"
    used lonet "the owner's, for the owner"
    chmod 775 "$TMPDIR/lonet"
    replaced "is open to others" "a group may write, and it is not sticky"
    chmod 1775 "$TMPDIR/lonet"
    # That of another network is no reason.
    used lonet "a group may write, and it is sticky"

    fresh
    "${owner[@]}" mkdir -m 700 "$TMPDIR/elsewhere"
    "${owner[@]}" ln -s "$TMPDIR/elsewhere" "$TMPDIR/lonet"
    replaced "is a symbolic link" "the owner's link to the owner's directory"
    is "$(ls -A "$TMPDIR/elsewhere")" "" "nothing is where it leads"
    fresh
    : >"$TMPDIR/lonet"
    [ "$uid" = "$(id -u)" ] || chown "$uid" "$TMPDIR/lonet"
    replaced "is no directory" "a file"
    [ "$(id -u)" = 0 ] || return 0

    fresh
    mkdir -m 1777 "$TMPDIR/lonet"
    used lonet "root's"
    fresh
    "${third[@]}" mkdir -m 1777 "$TMPDIR/lonet"
    replaced "belongs to uid 65533" "another user's"
    is "$(ls -A "$TMPDIR/lonet")" "" "nothing is in the other user's"
    "${third[@]}" mkdir -m 700 "$TMPDIR/lonet/$LONET_NETWORK"
    replaced "belongs to uid 65533" "another user's, with the network's name in it"

    # Programs, commands and libraries find together, and stay together when the other user gives way.
    "${owner[@]}" env PYTHONUNBUFFERED=1 lonet run --host α -- "$python" "$work/server.py" >"$work/server" 2>&1 &
    started+=("$!")
    server=$!
    code 0 "${owner[@]}" lonet wait --timeout 120 α:1
    is "$("${owner[@]}" lonet run --host β -- "$python" "$work/dial.py" α.lonet 2>/dev/null)" welcome \
        "a host dials another"
    is "$("${owner[@]}" env "LD_PRELOAD=$library" "$python" "$work/dial.py" α.lonet)" welcome \
        "so does a program that has LD_PRELOAD alone"
    code 0 "${owner[@]}" lonet explain α α:1
    is "$(grep -c "belongs to uid 65533" <<<"$err")" 1 "lonet explain says it once"
    code 0 "${owner[@]}" lonet networks
    like "$out" "^$LONET_NETWORK  1 host, 1 process" "lonet networks finds the network"
    like "$err" "$TMPDIR/lonet belongs to uid 65533" "and says what it does not look into"
    rm -r "$TMPDIR/lonet"
    code 0 "${owner[@]}" lonet run --host β -- "$python" "$work/dial.py" α.lonet
    is "$out" welcome "the network goes on where it has begun"
    like "$err" "has begun in $TMPDIR/lonet-$uid" "which is said"
    is "$("${owner[@]}" env "LD_PRELOAD=$library" "$python" "$work/dial.py" α.lonet)" welcome \
        "programs with LD_PRELOAD alone find it there"
    kill "$server"
    wait "$server" 2>/dev/null || true
    until_true "${owner[@]}" lonet down
    used lonet "nothing, and the network has ended"

    # Both are another user's: there is no place.
    fresh
    "${third[@]}" mkdir -m 1777 "$TMPDIR/lonet" "$TMPDIR/lonet-$uid"
    code 125 "${owner[@]}" lonet run --host α -- true
    like "$err" "lonet: network .*: $TMPDIR/lonet-$uid, the directory of all networks, belongs to uid 65533: set TMPDIR to a directory of your own\$" \
        "$uid: both are another user's: refused"
    is "$(find "$TMPDIR" -mindepth 2)" "" "and nothing is made there"
    code 125 "${owner[@]}" env "LONET_DIR=$TMPDIR/lonet/$LONET_NETWORK" lonet run --host α -- true
    like "$err" "$TMPDIR/lonet, the directory of all networks, belongs to uid 65533: set TMPDIR to a directory of your own\$" \
        "so is LONET_DIR in another user's"
    is "$("${owner[@]}" env "LD_PRELOAD=$library" LONET_HOST=α "$python" -c '
import errno, socket
try: socket.create_server(("", 80))
except OSError as e: print(errno.errorcode[e.errno])')" ENETDOWN "a program's calls fail"
}
with_each_owner for_each_owner
