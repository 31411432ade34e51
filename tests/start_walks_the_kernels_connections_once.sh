#!/bin/bash
# A network starts with one walk through the kernel's table of connections, which is long on a busy machine (a hundred
# thousand in TIME_WAIT take the kernel 6 ms and more). One whose first choice of addresses is another network's finds that
# in the short table of listeners. Counted are the dumps that lonetd asks for, as times are not repeatable.
. "$(dirname "$0")/scenario.bash"
need python3 strace

# walks: how many dumps of more than listeners (state 10, the mask 00 04 00 00 at offset 68) a start asks for.
walks() {
    local network=$1
    # By hand, as whoever traces a program does not see the lonetd that it starts.
    strace -f -qq -e trace=sendto -e signal=none -e write=all -o "$work/$network" lonet daemon -n "$network" --foreground 2>"$work/daemon" &
    until_true test -S "$work/lonet/$network/control"
    code 0 lonet run -n "$network" -H a -- /bin/true
    code 0 lonet down -n "$network"
    wait $!
    awk '/sendto\(.*(0x300|NLM_F_DUMP)/ { is_dump = 1 }
        is_dump && $2 == "00040" { is_dump = 0; if ($7 $8 $9 $10 != "00040000") walks++ }
        END { print walks + 0 }' "$work/$network"
}

is "$(walks "$LONET_NETWORK")" 1 "a start walks through all connections once"

start a lonet run -H a -- sleep 1000
block=$(lonet run -H a -- getent ahostsv4 a.lonet | head -n 1 | cut -d. -f2)
another=$(python3 - "$block" <<'END'
import itertools, os, sys
def first_choice(name):
    hash = 0xCBF29CE484222325
    for byte in name.encode():
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return hash % 254 + 1
print(next(n for n in (f"{os.environ['LONET_NETWORK']}-{i}" for i in itertools.count()) if first_choice(n) == int(sys.argv[1])))
END
)
is "$(walks "$another")" 1 "and so does one whose first choice of addresses another network has"
