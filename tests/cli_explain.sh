#!/bin/bash
# `lonet explain` tells what a dial would meet, and the dial meets that.
. "$(dirname "$0")/scenario.bash"

code 1 lonet explain β α:80
is "$err" "lonet: network \"$LONET_NETWORK\" is not running" "a network that does not run"
[ ! -e "$TMPDIR/lonet" ] || fail "it was started"
cat >"$work/server.py" <<'PY'
import os, socket
held = [socket.create_server(("", 80)), socket.create_server(("127.0.0.1", 70)), socket.socket()]
held[-1].bind(("", 60))
print("up", flush=True)
while True:
    held.append(held[0].accept()[0])
PY
cat >"$work/dial.py" <<'PY'
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
s = socket.socket()
print(s.connect_ex((host or "127.0.0.1", int(port))))
PY
start server lonet run -H α -- python3 "$work/server.py"
server=$pid
until_true grep up "$work/server"
start client lonet run -H β -- sleep 1000
up() { [ "$(lonet ls --json | jq '.hosts | length')" = 2 ]; }
until_true up

# explains CODE FROM TO ERRNO TEXT: so it is explained, and a dial of FROM's ends with ERRNO.
explains() {
    code "$1" lonet explain "$2" "$3"
    like "$out$err" "^$5\$" "$2 to $3: $out$err"
    case $3 in :*) to=$3 ;; *) to=${3/:/.lonet:} ;; esac
    code 0 lonet run -H "$2" -- python3 "$work/dial.py" "${to/localhost.lonet/localhost}"
    is "$out" "$4" "and so it is"
}
refused=111 no_route=113
explains 0 β α:80 0 "β dials α:80 and reaches python3 \(pid $server\), which listens there \(OS address 127\.[0-9]+\.0\.1:[0-9]+\)"
explains 0 α localhost:80 0 "α dials α:80 and reaches python3 \(pid $server\), which listens there \(.*\)"
explains 0 α :70 0 "α dials α:70 and reaches python3 \(pid $server\), which listens there \(.*\)"
for from in α β; do
    explains 1 $from α:70 $refused "the dial is refused: python3 \(pid $server\) listens on α:70 only on α's loopback, where programs of α reach it as \
localhost:70; to be reached by other hosts it has to listen on all addresses \(0\.0\.0\.0 or ::\)"
done
explains 1 β α:60 $refused "the dial is refused: python3 \(pid $server\) has bound α:60 but does not listen"
explains 1 β α:81 $refused "nothing listens on α:81: the dial is refused; α listens on 80, and only on its loopback on 70"
explains 1 β :80 $refused "nothing listens on β:80: the dial is refused; β is up and listens on no port; with \
LONET_LOOPBACK=real it goes to the machine's own port 80"
explains 1 β γ:80 $no_route "the dial fails with \"no route to host\": no host \"γ\" is up in network $LONET_NETWORK; up are: α, β"

code 1 lonet explain δ α:80
is "$err" "lonet: no host \"δ\" is up in network $LONET_NETWORK; up are: α, β" "who dials has to be up"
code 0 lonet explain β 10.0.0.1:80
like "$out" "^10\.0\.0\.1 is no address of network $LONET_NETWORK: the dial is the machine's, as without lonet" "an address that is no host's"
lonet pause α >"$work/paused"
code 0 lonet explain β α:80
like "$out" "; that process is stopped: the kernel accepts the dial, but nobody answers until it continues$" "a host that is paused"
lonet resume α >"$work/paused"

lonet refuse β α:80
explains 1 β α:80 $refused "the dial is refused, as \`lonet refuse β α:80\` is in force"
explains 0 α α:80 0 "α dials α:80 and reaches .*"
lonet heal >"$work/healed"
lonet cut 'α>β' >"$work/cut"
code 1 lonet explain β α:80
is "$out" "the dial hangs until \`lonet heal\`, as \`lonet cut 'α>β'\` is in force" "a dial whose answer does not arrive"
lonet heal >"$work/healed"
lonet cut --at 2 β α >"$work/cut"
explains 0 β α:80 0 "β dials α:80 and reaches .*"
