#!/bin/bash
# The program that starts lonetd may write no files (RLIMIT_FSIZE is 0): it is not killed, and lonetd serves, and saves its
# state if it may lift the limit for itself.
. "$(dirname "$0")/scenario.bash"

cat >"$work/first.py" <<'END'
import resource, signal, socket, sys
# Python ignores it; others do not.
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0 if sys.argv[1] == "hard" else hard))
s = socket.create_server(("", 80))
c = socket.create_connection(("alpha.lonet", 80))
a, peer = s.accept()
print(peer == c.getsockname(), s.getsockname()[1], flush=True)
sys.stdin.read()
END
mkfifo "$work/in"

# first KIND: it runs with output to a pipe, as it may write no file.
first() {
    LD_PRELOAD=$library LONET_HOST=alpha python3 "$work/first.py" "$1" <"$work/in" > >(cat >"$work/said") 2> >(cat >"$work/err") &
    pid=$!
    started+=("$pid")
    exec 9>"$work/in"
    until_true [ -s "$work/said" ]
    is "$(<"$work/said")" "True 80" "the first program binds, dials and accepts with a $1 limit"
}

leave() {
    exec 9>&-
    local code=0
    wait "$pid" || code=$?
    is "$code" 0 "and ends as it likes"
    until_down "$LONET_NETWORK"
    rm "$work/said"
}

first soft
before=$(lonet ls)
# Until a killed lonetd has lost its last descriptor, `lonet ls` may find it resetting connections.
as_before() { [ "$(lonet ls)" = "$before" ]; }
like "$before" "alpha:80" "lonetd knows its listener"
kill_lonetd
until_true as_before
echo "ok: and has saved its state"
leave

# Who is not root cannot lift this one: nothing is saved, and all else is as ever.
LONET_NETWORK=$LONET_NETWORK-b
first hard
is "$(lonet run --host beta -- python3 -c '
import socket; print(socket.create_connection(("alpha.lonet", 80)).getpeername()[1])')" 80 "others reach it"
leave
