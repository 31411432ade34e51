#!/bin/bash
# lonetd is killed, and the network's program ends before, while or after it dies: `lonet down` ends the network all the
# same, files and all, however near to lonetd's death it asks, also two of them at once.
. "$(dirname "$0")/scenario.bash"

directory=$TMPDIR/lonet/$LONET_NETWORK
end_program() {
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
}

before() { end_program && kill -KILL "$daemon" && code 0 lonet down; }
after() { kill -KILL "$daemon" && end_program && code 0 lonet down; }
long_after() { kill -KILL "$daemon" && until_true ended "$daemon" && end_program && code 0 lonet down; }
while_it_dies() {
    kill -KILL "$pid" "$daemon"
    # The program may be found alive still, and is to be named then.
    until_true lonet down
    wait "$pid" 2>/dev/null || true
}
two_at_once() {
    kill -KILL "$daemon" && end_program
    lonet down 2>"$work/other" &
    local other=$!
    code 0 lonet down
    wait "$other" || fail "the other \`lonet down\`: $(<"$work/other")"
}
with_kill() {
    kill -KILL "$daemon" && code 0 lonet down --kill
    wait "$pid" 2>/dev/null || true
}

for round in 1 2; do
    for way in before after long_after while_it_dies two_at_once with_kill; do
        start_self_dialer
        $way
        [ ! -e "$directory" ] || fail "$way, round $round: left: $(ls -A "$directory")"
    done
done
echo "ok: nothing is left of it"
