#!/bin/bash
# A capture whose command was killed, or that is cut off anywhere, is readable up to there.
. "$(dirname "$0")/../packets.bash"
where_packets_can_be_read "$@"
. "$(dirname "$0")/../scenario.bash"
need tshark python3
welcome

start web lonet run --host web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
capture file
lonet run --host laptop -- python3 "$work/dial.py" web.lonet 80 >/dev/null
# Says a number for each packet, up to the cut.
frames() { tshark -r "$1" -T fields -e frame.number 2>"$work/tshark" || true; }
until_true eval 'frames "$work/captures/file" | grep -q .'
kill -KILL "$capture"
wait "$capture" || true
tshark -r "$work/captures/file" >/dev/null 2>"$work/tshark" || fail "tshark: $(<"$work/tshark")"
echo "ok: a file whose capture was killed is whole"
all=$(frames "$work/captures/file")
length=$(stat -c %s "$work/captures/file") before=0
for cut in {1..9}; do
    head -c $((length * cut / 10)) "$work/captures/file" >"$work/captures/cut"
    got=$(frames "$work/captures/cut" | grep -c . || true)
    is "$(frames "$work/captures/cut")" "$(head -n "$got" <<<"$all" | sed '/^$/d')" "cut off at $cut tenths it has its first packets"
    [ "$got" -ge "$before" ] || fail "fewer than of a shorter file"
    before=$got
done
[ "$before" -gt 0 ] || fail "none of them has a packet"
