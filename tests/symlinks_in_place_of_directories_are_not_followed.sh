#!/bin/bash
# A link that takes the place of a network's directory while it runs, or at any moment while networks start and end, leads
# lonetd nowhere: it writes and removes what is its own, and the victim's files stay as they are.
. "$(dirname "$0")/scenario.bash"
. "$(dirname "$0")/owners.bash"

files=(key log table control lock registry.db registry.db-wal registry.db-shm)
# make_victim: a directory of the owner's with files that have the names of lonetd's.
make_victim() {
    victim=$TMPDIR/victim
    rm -rf "$victim"
    "${owner[@]}" mkdir -m 700 "$victim"
    for file in "${files[@]}"; do "${owner[@]}" sh -c 'echo mine >"$1"' - "$victim/$file"; done
    untouched=$(list_victim)
}
list_victim() { (cd "$victim" && stat -c '%n %i %U %a %s' . * && cat ./*); }

for_each_owner() {
    local net pid turn
    export TMPDIR=$work/tmp
    rm -rf "$TMPDIR" && mkdir -m 1777 "$TMPDIR"
    make_victim

    # What replaces the directory is the owner's own here: a mistake, or an attack by who could.
    net=$TMPDIR/lonet/$LONET_NETWORK
    "${owner[@]}" lonet run --host α -- sleep 1000 >"$work/sleep" 2>&1 &
    pid=$!
    until_true eval '[ -n "$("${owner[@]}" lonet ls)" ]'
    is "$("${owner[@]}" test -f "$net/table" && echo table)" table "$uid: a network runs"
    # In one step: a directory that has gone is made again.
    "${owner[@]}" ln -s "$victim" "$TMPDIR/lonet/moved"
    "${owner[@]}" "$python" -c '
import ctypes, os, sys
AT_FDCWD, RENAME_EXCHANGE = -100, 2
one, other = map(os.fsencode, sys.argv[1:])
sys.exit(ctypes.CDLL(None).renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE))' "$net" "$TMPDIR/lonet/moved"
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    until_true eval '[ -z "$(lonetd)" ]'
    is "$(list_victim)" "$untouched" "its end touches nothing where the link leads that took its place"
    is "$("${owner[@]}" ls -A "$TMPDIR/lonet/moved")" "" "and removes its files where they are"
    code 125 "${owner[@]}" lonet run --host α -- true
    like "$err" "the network's directory, is a symbolic link: use another network \(-n\), or remove it" "none begins there"
    is "$(list_victim)" "$untouched" "nor is anything touched then"
    "${owner[@]}" rm -r "$net" "$TMPDIR/lonet/moved"
    code 0 "${owner[@]}" lonet run --host α -- true
    code 0 "${owner[@]}" lonet down
    is "$("${owner[@]}" ls -A "$TMPDIR/lonet")" "" "with the link gone a network begins and ends"

    [ "$(id -u)" = 0 ] || return 0
    # Another user makes <tmp>/lonet, removes it, and makes it a link, for as long as networks start and end; and whenever
    # a network is in what is his, he puts a link in its place.
    rm -rf "$TMPDIR/lonet"
    "${third[@]}" bash -c '
        cd "$1" && umask 0
        while [ ! -e stop ]; do
            mkdir lonet && ln -s "$2" "lonet/$3"
            mv -T "lonet/$3" lonet/link && rmdir lonet/* && rm -rf lonet/* lonet
            mkdir lonet && [ ! -d "lonet/$3" ] || { mv -T "lonet/$3" lonet/away && ln -s "$2" "lonet/$3"; }
            rm -rf lonet/* lonet
            ln -s "$2/.." lonet && rm lonet
        done' - "$TMPDIR" "$victim" "$LONET_NETWORK" >/dev/null 2>&1 &
    swapper=$!
    started+=("$swapper")
    for turn in {1..40}; do
        "${owner[@]}" timeout 30 lonet run --host α -- lonet ls </dev/null >"$work/out" 2>&1 || true
        "${owner[@]}" timeout 30 lonet down --kill </dev/null >>"$work/out" 2>&1 || true
        is "$(list_victim)" "$untouched" "turn $turn: whatever another user does, the victim stays" >"$work/is" ||
            { cat "$work/is" "$work/out"; fail "turn $turn"; }
    done
    : >"$TMPDIR/stop"
    wait "$swapper" 2>/dev/null || true
    echo "ok: whatever another user puts there meanwhile, the victim stays as it is"
    rm -rf "$TMPDIR/lonet"
    until_true eval '"${owner[@]}" lonet down && [ -z "$(lonetd)" ]'
    code 0 "${owner[@]}" lonet run --host α -- true
    code 0 "${owner[@]}" lonet down
    echo "ok: and networks start and end when he has gone"
}
with_each_owner for_each_owner
