#!/bin/bash
# `lonet ls` of 12,000 sockets, of 110,000 with LONET_FULL, takes half a second at most: the best of three times.
. "$(dirname "$0")/scenario.bash"

ulimit -n "$(ulimit -Hn)"
pairs=1 connections=6000
if [ "${LONET_FULL:-}" ]; then pairs=4 connections=13750; fi
if [ "$(ulimit -n)" -lt $((connections + 100)) ]; then
    echo "ok: skipped, as no more than $(ulimit -n) descriptors are allowed"
    exit 0
fi
cat >"$work/server.py" <<'PY'
import socket, sys
listener = socket.create_server(("", 80), backlog=1000)
held = [listener.accept()[0] for _ in range(int(sys.argv[1]))]
print("accepted", flush=True)
sys.stdin.read()
PY
cat >"$work/client.py" <<'PY'
import socket, sys
to = (socket.gethostbyname(sys.argv[2]), 80)
held = [socket.create_connection(to) for _ in range(int(sys.argv[1]))]
sys.stdin.read()
PY
mkfifo "$work/end"
exec 9<>"$work/end"
for n in $(seq $pairs); do
    lonet run --host "s$n" -- python3 "$work/server.py" $connections <&9 >"$work/server$n" 2>&1 &
    started+=($!)
    lonet wait --timeout 120 "s$n:80"
    lonet run --host "c$n" -- python3 "$work/client.py" $connections "s$n.lonet" <&9 >"$work/client$n" 2>&1 &
    started+=($!)
done
for n in $(seq $pairs); do until_true grep -q accepted "$work/server$n"; done
best=1000000
for _ in 1 2 3; do
    from=${EPOCHREALTIME/[.,]/}
    rows=$(lonet ls | wc -l)
    took=$((${EPOCHREALTIME/[.,]/} - from))
    if [ $took -lt $best ]; then best=$took; fi
done
is "$rows" $((pairs * (2 * connections + 3))) "each socket has its line"
[ $best -le 500000 ] || fail "it took $((best / 1000)) ms"
echo "ok: it took $((best / 1000)) ms"
