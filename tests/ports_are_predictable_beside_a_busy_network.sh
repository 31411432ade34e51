#!/bin/bash
# The same script gives the same addresses while another network of the machine is under load.
. "$(dirname "$0")/scenario.bash"

busy=$LONET_NETWORK-busy
cat >"$work/server.py" <<'END'
import socket
s = socket.create_server(("", 80))
while True:
    s.accept()[0].close()
END
# Each turn: a listener on the next port, a dial that succeeds, one that is refused.
cat >"$work/load.py" <<'END'
import socket
while True:
    with socket.create_server(("", 0)) as s:
        socket.create_connection(("λ.lonet", 80)).close()
        try:
            socket.create_connection(("λ.lonet", 81)).close()
        except ConnectionRefusedError:
            print("turn", flush=True)
END
start server lonet run -n "$busy" --host λ -- python3 "$work/server.py"
lonet wait -n "$busy" --timeout 120 λ:80
loads=()
for host in κ μ; do
    start "$host" lonet run -n "$busy" --host "$host" -- python3 "$work/load.py"
    loads+=("$pid")
done
for host in κ μ; do until_true [ -s "$work/$host" ]; done
turns() { cat "$work/κ" "$work/μ" | wc -l; }

rounds=4
[ -z "${LONET_FULL-}" ] || rounds=100
before=$(turns)
LONET_NETWORK=$LONET_NETWORK-q "$tests/ports_are_predictable.sh" "$rounds" >"$work/rounds" 2>&1 || fail "$(<"$work/rounds")"
is "$(grep -c "^ok: round" "$work/rounds")" "$rounds" "$rounds rounds, all as written"
[ "$(turns)" -gt "$before" ] || fail "the other network did nothing meanwhile"
kill -0 "${loads[@]}" || fail "the other network's programs have ended: $(tail -n 3 "$work/κ" "$work/μ")"
