#!/bin/bash
# The same script of listens and dials, by several programs on several hosts, gives the same lonet addresses each time:
# those that are written here.
#
#     ports_are_predictable.sh [ROUNDS]
. "$(dirname "$0")/scenario.bash"

# Listens on the ports in its arguments; says who calls (the host by its index), and "!" to the caller.
cat >"$work/server.py" <<'PY'
import select, socket, sys
listeners = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
print("listens on", *(l.getsockname()[1] for l in listeners), flush=True)
callers = []
while True:
    for ready in select.select(listeners + callers, [], [])[0]:
        if ready in listeners:
            caller, (ip, port) = ready.accept()
            print(f"port {caller.getsockname()[1]} is called by host {ip.split('.')[3]} port {port}", flush=True)
            caller.sendall(b"!")
            callers.append(caller)
        else:
            callers.remove(ready)
            ready.close()
PY
# Dials each ADDRESS and waits for "!"; `-` closes its oldest connection.
cat >"$work/client.py" <<'PY'
import socket, sys
held = []
for word in sys.argv[1:]:
    if word == "-":
        held.pop(0).close()
        continue
    host, port = word.split(":")
    held.append(socket.create_connection((host + ".lonet", int(port))))
    held[-1].recv(1)
    print("dials", word, "from", held[-1].getsockname()[1])
PY
wanted="\
γ: dials α:80 from 1
γ: dials α:80 from 2
γ: dials α:1 from 3
γ: dials α:2 from 1
γ: dials β:1 from 4
δ: dials β:1 from 1
δ: dials α:1 from 2
δ: dials α:1 from 1
γ: dials α:2 from 1
α: listens on 1 80 2
α: port 80 is called by host 3 port 1
α: port 80 is called by host 3 port 2
α: port 1 is called by host 3 port 3
α: port 2 is called by host 3 port 1
α: port 1 is called by host 4 port 2
α: port 1 is called by host 4 port 1
α: port 2 is called by host 3 port 1
β: listens on 1
β: port 1 is called by host 3 port 4
β: port 1 is called by host 4 port 1"

rounds=20
[ -z "${LONET_FULL-}" ] || rounds=200
rounds=${1:-$rounds}
for ((round = 1; round <= rounds; round++)); do
    network=$LONET_NETWORK-$round
    on() { lonet run -n "$network" --host "$@"; }
    labelled() { sed "s/^/$1: /"; }
    start α.log lonet run -n "$network" --host α -- python3 "$work/server.py" 0 80 0
    lonet wait -n "$network" --timeout 120 α:2
    start β.log lonet run -n "$network" --host β -- python3 "$work/server.py" 0
    lonet wait -n "$network" --timeout 120 β:1
    got=$(
        on γ -- python3 "$work/client.py" α:80 α:80 α:1 - α:2 β:1 | labelled γ
        on δ -- python3 "$work/client.py" β:1 α:1 - α:1 | labelled δ
        on γ -- python3 "$work/client.py" α:2 | labelled γ
        labelled α <"$work/α.log"
        labelled β <"$work/β.log"
    )
    is "$got" "$wanted" "round $round"
    stop "${started[@]}"
    started=()
    code 0 lonet down -n "$network"
done
