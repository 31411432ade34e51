#!/bin/bash
# lonetd is killed between cut and heal: the cut stands without it, for dials as well, and the next lonetd knows of it.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node α
node β
tell β listen 80
connect α β
code 0 lonet cut α β
# Names are asked for.
address=$(lonet ls --json | jq -r '.hosts[] | select(.name == "β").address')
kill_lonetd
tell α send c lost
tell α lost c
tell α dial d "$address" 80
tell α waits d
is "$answer" waits "without lonetd a dial is cut, too"
is "$(lonetd)" "" "nobody serves the network"
code 0 rules
is "$out" "lonet cut α β" "the next lonetd knows the rule"
[ -n "$(lonetd)" ] || fail "who answered?"
tell β now c
is "$answer" nothing "nothing has arrived"
code 0 lonet heal
tell β wait c
is "$answer" lost "and it heals"
tell α made d
is "$answer" 0 "also what was dialed meanwhile"

# Valves that are shut without a rule, as a lonetd leaves them that is killed while it heals.
tell α option c 0 2 1
code 0 lonet cut α β
tell α send c again
tell α lost c
kill_lonetd
python3 - "$work/lonet/$LONET_NETWORK/table" <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as table:
    table.seek(64)
    assert struct.unpack("<Q", table.read(8))[0] != 0
    table.seek(64)
    table.write(bytes(8))
END
lonet ls >"$work/ls"
tell β wait c
is "$answer" again "a lonetd that finds valves shut without a rule opens them"
tell α get c 0 2
is "$answer" 1 "and leaves what the program had set"
