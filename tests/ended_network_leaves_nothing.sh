#!/bin/bash
# However a network ends, nothing of it is left: not even <tmp>/lonet if it was the last one, and no abstract Unix socket.
. "$(dirname "$0")/scenario.bash"

# What there is of the network among the Unix sockets: by the control socket's name, and by any path in the directory.
sockets() { grep -F -e "$name" -e "$TMPDIR/lonet/" /proc/net/unix || true; }
no_sockets() { [ -z "$(sockets)" ]; }
begin() {
    start_self_dialer
    # Its number is nobody's to compute.
    name=@$(abstract_name "$daemon")
    like "$(sockets)" "$name" "the network is there"
}
nothing_after() {
    until_true ended "$daemon"
    [ ! -e "$TMPDIR/lonet" ] || fail "$TMPDIR/lonet is left after $1: $(ls -lA "$TMPDIR/lonet")"
    echo "ok: no directory is left after $1"
    until_true no_sockets
    echo "ok: nor among the Unix sockets"
}

begin
stop "$pid"
nothing_after "the end of its last program"

begin
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
nothing_after "SIGKILL to its last program"

begin
code 0 lonet down --kill
nothing_after "lonet down --kill"
