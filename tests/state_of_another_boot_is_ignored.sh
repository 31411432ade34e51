#!/bin/bash
# What a killed lonetd has saved counts for the same boot and network namespace only: else the network begins afresh.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'END'
import signal, socket
s = socket.create_server(("", 0))
print(s.getsockname()[1], flush=True)
signal.pause()
END
table=$TMPDIR/lonet/$LONET_NETWORK/table

# after [OFFSET]: β, the second host of a network whose programs and lonetd were killed, comes back after the word at OFFSET
# of the table was changed (src/core/table/layout.rs says what stands where). Its listener and its address are in $line.
after() {
    local offset=${1-} host
    for host in α β; do
        start "$host" lonet run --host "$host" -- python3 "$work/server.py"
        lonet wait --timeout 120 "$host:1"
    done
    kill_lonetd
    kill -KILL "${started[@]}"
    wait "${started[@]}" 2>/dev/null || true
    started=()
    [ -z "$offset" ] || printf 12345678 | dd of="$table" bs=1 seek="$offset" conv=notrunc status=none
    rm -f "$work/again"
    start again lonet run --host β -- python3 "$work/server.py"
    until_true [ -s "$work/again" ]
    line="$(<"$work/again") $(lonet ls | sed -nE 's/^β +127\.[0-9]+\.0\.([0-9]+).*/\1/p')"
    stop "${started[@]}"
    started=()
    until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
}

after
is "$line" "1 2" "as it was saved β has index 2"
after 24
is "$line" "1 1" "of another boot: a fresh network, with β its first host"
after 40
is "$line" "1 1" "of another network namespace: the same"
