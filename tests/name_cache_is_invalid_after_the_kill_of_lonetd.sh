#!/bin/bash
# What a lonetd has answered for a name is for nobody who asks after it was killed: the question starts the next one, and
# is the next one's to answer, which may know of other hosts.
. "$(dirname "$0")/scenario.bash"

cat >"$work/resolve.py" <<'END'
import socket, sys
for line in sys.stdin:
    try:
        print(socket.gethostbyname(line.strip()), flush=True)
    except OSError as e:
        print(e.strerror, flush=True)
END
answers() { [ "$(<"$work/out")" = "$(printf '%s\n' "$@")" ]; }

welcome
start server lonet run --host beta -- python3 "$work/server.py" 80
lonet wait --timeout 120 beta:80
ip=$(lonet addr beta:80)
ip=${ip%:*}
mkfifo "$work/in"
lonet run --host gamma -- python3 "$work/resolve.py" <"$work/in" >"$work/out" 2>&1 &
started+=("$!")
exec 7>"$work/in"
echo beta.lonet >&7
until_true answers "$ip"

kill_lonetd
echo beta.lonet >&7
until_true answers "$ip" "$ip"
[ -n "$(lonetd)" ] || fail "nobody was asked"
echo "ok: the question starts a lonetd"

kill_lonetd
is "$(lonet addr beta:80 | cut -d : -f 1)" "$ip" "another program starts one"
daemon=$(lonetd)
stop_lonetd
echo beta.lonet >&7
until_true waits
kill -CONT "$daemon"
until_true answers "$ip" "$ip" "$ip"
echo "ok: and the new one is asked"
exec 7>&-
