#!/bin/bash
# A network that begins while the last other one ends has a directory: <tmp>/lonet is removed, and made again.
. "$(dirname "$0")/scenario.bash"

rounds() {
    for _ in {1..15}; do
        lonet run -n "$LONET_NETWORK-$1" -H α -- true && lonet down -n "$LONET_NETWORK-$1" --kill || return
    done
}
all=()
for n in 1 2 3; do
    rounds "$n" >"$work/rounds$n" 2>&1 &
    started+=($!) all+=($!)
done
for n in 1 2 3; do
    wait "${all[n - 1]}" || fail "$(<"$work/rounds$n")"
done
echo "ok: each of them begins"
[ ! -e "$TMPDIR/lonet" ] || fail "left: $(ls -lAR "$TMPDIR/lonet")"
echo "ok: nothing is left"
