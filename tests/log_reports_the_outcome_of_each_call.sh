#!/bin/bash
# LONET_LOG: one line for each call, with the time, who made it, what about, in lonet's terms, the result and the reason.
# A path that cannot be written is said once, when a program starts. lonetd's log has lines of the same kind.
. "$(dirname "$0")/scenario.bash"
need curl python3

start α lonet run -H α -- python3 -c '
import socket, signal
s = socket.create_server(("127.0.0.1", 5000)); t = socket.create_server(("", 80)); c = t.accept(); signal.pause()'
until_true lonet wait --timeout 1 α:80
export LONET_LOG=$work/why
: >"$work/why"
lonet run -H γ -- python3 - "$work" <<'PY'
import os, socket
def dial(name, port):
    try:
        return socket.create_connection((name, port))
    except OSError as e:
        return e
kept = dial("α.lonet", 80)
dial("α.lonet", 5000)
dial("α.lonet", 6000)
kept.getpeername()
s = socket.socket(); s.bind(("", 7)); s.listen()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0))
socket.socket().connect_ex(("127.255.0.1", 9))
PY
log=$(<"$work/why")
who='[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} γ python3[.0-9]*\([0-9]+\)'
# has CALL RESULT: the line, and nothing else about it
has() { like "$log" "(^|"$'\n'")$who $1: $2("$'\n'"|\$)" "$1: $2"; }
has "connect → α:80" "done"
has "connect → α:5000" "refused: α:5000 listens on α's loopback only"
has "connect → α:6000" "refused: α:6000 has no listener"
has "getpeername γ:[0-9]+" "done"
has "bind \*:7" "done"
has "listen \*:7" "done"
has "bind localhost:0" "not lonet's: no TCP socket of this family"
has "connect → 127.255.0.1:9" "not lonet's: no host has this address"
has "resolve xn--mxa" "α at 127\.[0-9]+\.0\.1"
is "$(grep -c "connect → α:" <<<"$log")" 3 "one line for each call"

is "$(grep -vcE "^[0-9:.]{15} \S+ \S+\([0-9]+\) \S" "$work/why" || true)" 0 "no other lines"
unset LONET_LOG
net=$(echo "$TMPDIR"/lonet*/"$LONET_NETWORK")
like "$(<"$net/log")" "[0-9:.]{15} - lonet[a-z]*\([0-9]+\) serving" "lonetd's log: $(head -2 "$net/log")"

code 0 env LONET_LOG=/no/such/directory/log lonet run -H γ -- python3 -c 'import socket; socket.create_connection(("α.lonet", 80))'
is "$err" 'lonet: cannot write to LONET_LOG="/no/such/directory/log": No such file or directory (os error 2)' "said once"
cd "$work"
LONET_LOG=relative lonet run -H γ -- python3 -c 'import os, socket; os.chdir("/"); socket.socket().bind(("", 8))'
like "$(<"$work/relative")" "bind \*:8: done" "a relative path is one of where lonet run is started"
