#!/bin/bash
# A host's program in a user namespace that gives its user another number goes on; where it cannot be told whose lonetd it
# is, the program is refused with the reason, and what another user has in lonetd's place gets no word of it.
. "$(dirname "$0")/scenario.bash"

if ! why=$(unshare --user --map-root-user true 2>&1); then
    echo "skipped: no user namespace can be made here: $why"
    exit 0
fi
welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
export LONET_LOG=$work/why
: >"$work/why"
chmod 711 "$work" && chmod 666 "$work/why"
dial=(python3 "$work/dial.py" α.lonet 80)
for inside in "" "unshare --user --map-root-user" "unshare --user --map-current-user" "unshare --user --map-user=1000"; do
    # shellcheck disable=SC2086
    is "$(lonet run --host β -- $inside "${dial[@]}" 2>&1)" welcome "${inside:-without a user namespace} it dials"
done
# A server there keeps its host up by a child that never called.
start inside lonet run --host γ -- unshare --user --map-root-user python3 "$work/server.py" 81
lonet wait --timeout 120 γ:81
is "$(lonet run --host β -- python3 "$work/dial.py" γ.lonet 81)" welcome "and listens"

# A user without a number: all others without one look the same.
: >"$work/why"
like "$(lonet run --host β -- unshare --user "${dial[@]}" 2>&1 | tail -n 1)" "welcome|OSError|Errno" \
    "in one without numbers it ends in time"
if [ "$(id -u)" = 0 ]; then
    other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    python=$(while read -r found; do "${other[@]}" test -x "$found" && echo "$found" && break; done < <(type -ap python3))
    if [ -n "$python" ] && "${other[@]}" unshare --user --map-root-user true; then
        dial[0]=$python
        is "$(lonet run --host β -- "${other[@]}" "${dial[@]}")" welcome "another user's program with the key dials"
        : >"$work/why"
        ! lonet run --host β -- "${other[@]}" unshare --user --map-root-user "${dial[@]}" 2>"$work/refused" ||
            fail "it has dialed though lonetd's user has no number there"
        like "$(<"$work/why")" "cannot tell whether the network is its owner's: this user namespace shows uid 65534" \
            "where the owner has no number the log says so"
    fi
fi

# A user's own number, which is not the one that all without a number have, is gone there. What the program knew before stays.
if [ "$(id -u)" = 0 ]; then
    mkdir -m 711 "$work/numbered"
    chown 65533:65533 "$work/numbered"
    as_numbered=(env TMPDIR="$work/numbered" HOME="$work/numbered" setpriv --reuid 65533 --regid 65533 --clear-groups)
    is "$("${as_numbered[@]}" lonet run --host δ -- "$LONET_C_TESTS/posix_chroot_after_bind" 2>&1 | grep -v '^ok')" 1..3 \
        "who goes to one without numbers, and to another root, goes on"
fi
