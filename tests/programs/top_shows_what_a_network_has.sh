#!/bin/bash
# `lonet top` shows hosts, listeners, connections with the bytes that they have carried, faults, and what happens.
. "$(dirname "$0")/../scenario.bash"
need python3 tmux
. "$tests/top.bash"

cat >"$work/server.py" <<'PY'
import socket
s = socket.create_server(("", 80))
held = []
while True:
    held.append(s.accept()[0])
    if held[-1].recv(5, socket.MSG_WAITALL) == b"hello":
        held[-1].sendall(b"hi")
PY
cat >"$work/client.py" <<'PY'
import signal, socket
s = socket.create_connection(("數據.lonet", 80))
s.sendall(b"hello")
assert s.recv(2, socket.MSG_WAITALL) == b"hi"
signal.pause()
PY
start server lonet run -H 數據 -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 數據:80
# Wide enough for the longest address.
terminal 200 40
typed "lonet top" Enter
shows "^ $LONET_NETWORK +1 host, 1 listener, 0 connections" "the first line says how much there is"
address=$(lonet ls --json | jq -r '.hosts[0].address')
shows "數據 +${address//./\\.} +python3 +80 +0" "a host has its address, program, ports and connections"
shows "數據:80 +python3\($server\) +0 +all hosts" "a listener has its program, and who reaches it"
until_true watched
start client lonet run -H β -- python3 "$work/client.py"
client=$pid
shows "β:1 +數據:80 +python3\($client\) +python3\($server\)" "a connection has both of its ends"
shows "β:1 +數據:80 .* 5 +2$" "and the bytes that its dialer has sent and received"
shows "[0-9:.]+ β [^ ]+\($client\) dial β:1 → 數據:80" "what happens is shown as lonet trace has it"
lonet cut β 數據
shows "Faults 1" "a fault"
shows " lonet cut (β 數據|數據 β)" "as the command that makes it"
shows "β:1 +數據:80 .* cut$" "and at the connection that it concerns"
lonet heal
hides "Faults|lonet cut" "until it is healed"
typed 1 Enter
hides "Listeners" "a pane alone"
shows "數據 .*python3" "which has the focus"
