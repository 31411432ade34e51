#!/bin/bash
# Twenty hosts all serve on port 8080, on all their addresses, and a client on a twenty-first reaches each.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import socket, sys
with socket.create_server(("", 8080)) as listener:
    for _ in range(2):
        caller, _ = listener.accept()
        with caller:
            caller.sendall(sys.argv[1].encode())
PY
cat >"$work/client.py" <<'PY'
import socket
for n in range(1, 21):
    with socket.create_connection((f"h{n}.lonet", 8080)) as server:
        print(server.makefile().read(), server.getpeername()[1])
PY
hosts=() wanted=
for n in {1..20}; do
    start "h$n.log" lonet run --host "h$n" -- python3 "$work/server.py" "this is h$n"
    hosts+=("h$n:8080") wanted+="this is h$n 8080"$'\n'
done
lonet wait --timeout 60 "${hosts[@]}"
for round in first second; do
    is "$(lonet run --host client -- python3 "$work/client.py")"$'\n' "$wanted" "each is reached, $round time"
done
