#!/bin/bash
# What a killed lonetd has saved counts for the same boot and network namespace only: else the network begins afresh.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'END'
import signal, socket
s = socket.create_server(("", 0))
print(s.getsockname()[1], flush=True)
signal.pause()
END
state=$TMPDIR/lonet/$LONET_NETWORK/state

# after CHANGE: β, the second host of a network whose programs and lonetd were killed, comes back after CHANGE, a sed
# command, to the first line of what was saved. Its listener and its address are in $line.
after() {
    local change=$1 host saved
    for host in α β; do
        start "$host" lonet run --host "$host" -- python3 "$work/server.py"
        lonet wait --timeout 20 "$host:1"
    done
    kill_lonetd
    kill -KILL "${started[@]}"
    wait "${started[@]}" 2>/dev/null || true
    started=()
    saved=$(head -n 1 "$state")
    [ -z "$change" ] || sed -i "1$change" "$state"
    [ -z "$change" ] || [ "$(head -n 1 "$state")" != "$saved" ] || fail "\"$change\" changes nothing in $saved"
    rm -f "$work/again"
    start again lonet run --host β -- python3 "$work/server.py"
    until_true [ -s "$work/again" ]
    line="$(<"$work/again") $(lonet ls | sed -nE 's/^β +127\.[0-9]+\.0\.([0-9]+).*/\1/p')"
    stop "${started[@]}"
    started=()
    until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
}

after ""
is "$line" "1 2" "as it was saved β has index 2"
after 's/"boot":"[^"]*"/"boot":"11111111-2222-3333-4444-555555555555"/'
is "$line" "1 1" "of another boot: a fresh network, with β its first host"
after 's/"netns":[0-9]*/"netns":1/'
is "$line" "1 1" "of another network namespace: the same"
