#!/bin/bash
# On a kernel before 6.3 a dial cannot ask for its source port (IP_LOCAL_PORT_RANGE): the kernel chooses, and what programs see
# is the same. Here old_kernel.c answers as such a kernel does.
. "$(dirname "$0")/scenario.bash"
need cc

cc -D_GNU_SOURCE -o "$work/old_kernel" "$tests/old_kernel.c"
ran=0
for program in "$LONET_C_TESTS"/{posix_*{accept,connect,listen,peer}*,lonet_*{dial,accept,callers,port,loopback,refused,face,self,first_free}*}; do
    [ -x "$program" ] || continue
    ran=$((ran + 1))
    lonet run --host α -- "$work/old_kernel" "$program" >"$work/out" 2>&1 || fail "${program##*/}: $(<"$work/out")"
done
[ "$ran" -gt 20 ] || fail "only $ran programs"
echo "ok: $ran programs"
