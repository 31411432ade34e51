#!/bin/bash
# Where there is no table of the network that programs can map (its file cannot be made), programs ask lonetd for everything and see the same.
. "$(dirname "$0")/scenario.bash"

ran=0 base=$LONET_NETWORK
for program in "$LONET_C_TESTS"/{posix_*{accept,connect,listen,peer}*,lonet_*{dial,accept,callers,port,loopback,refused,face,self}*}; do
    [ -x "$program" ] || continue
    ran=$((ran + 1))
    export LONET_NETWORK=${base}v$ran
    # A directory in its place. The directory of all networks has ended with the network before.
    [ -d "$work/lonet" ] || mkdir -m 1777 "$work/lonet"
    mkdir -m 700 "$work/lonet/$LONET_NETWORK" && mkdir "$work/lonet/$LONET_NETWORK/table"
    lonet run --host α -- "$program" >"$work/out" 2>&1 || fail "${program##*/}: $(<"$work/out")"
    grep -q "no table" "$work/lonet/$LONET_NETWORK/log" || fail "lonetd has a table: $(<"$work/lonet/$LONET_NETWORK/log")"
    rmdir "$work/lonet/$LONET_NETWORK/table"
    lonet down
done
[ "$ran" -gt 20 ] || fail "only $ran programs"
echo "ok: $ran programs"
