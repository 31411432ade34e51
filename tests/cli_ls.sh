#!/bin/bash
# `lonet ls` shows each host with its address and sockets, as text for people and as JSON for programs.
. "$(dirname "$0")/scenario.bash"

code 0 lonet ls
is "$out" "" "a network that does not run has nothing to show"
is "$err" "lonet: network \"$LONET_NETWORK\" is not running" "which is said"
is "$(lonet ls --json 2>/dev/null)" "{\"version\":1,\"network\":\"$LONET_NETWORK\",\"hosts\":[]}" "as JSON it is a document all the same"
[ ! -e "$TMPDIR/lonet" ] || fail "ls has started something"

cat >"$work/server.py" <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 70))]
held.append(socket.create_server(("::", 90), family=socket.AF_INET6))
held.append(socket.create_server(("::", 91), family=socket.AF_INET6, dualstack_ipv6=True))
listener = socket.create_server(("", 8080))
held.append(socket.socket())
held[-1].bind(("", 0))
print("up", flush=True)
while True:
    held.append(listener.accept()[0])
    held[-1].sendall(b"!")
PY
cat >"$work/client.py" <<'PY'
import socket
server = socket.create_connection(("α.lonet", 8080))
server.recv(1)
print("up", flush=True)
server.recv(1)
PY
start server lonet run -H α -- python3 "$work/server.py"
server=$pid
until_true grep up "$work/server"
start client lonet run -H β -- python3 "$work/client.py"
client=$pid
until_true grep up "$work/client"
code 0 lonet run -H α -- getent ahostsv4 γ.lonet

block=$(lonet ls --json | jq -r '.hosts[0].address' | cut -d. -f 2)
is "$(lonet ls | sed -E "s/127\.$block\.0\.[12]:[0-9]+ +/OS /; s/127\.$block\./127.N./; s/pid $server/pid S/; s/pid $client/pid C/")" "\
α  127.N.0.1
  α:1     bound                  -    OS python3 (pid S)
  α:70    listening on loopback  -    OS python3 (pid S)
  α:90    listening on IPv6      -    OS python3 (pid S)
  α:91    listening              -    OS python3 (pid S)
  α:8080  listening              -    OS python3 (pid S)
  α:8080  connected              β:1  OS python3 (pid S)
β  127.N.0.2
  β:1  connected  α:8080  OS python3 (pid C)" "the text"

json=$(lonet ls --json)
is "$(wc -l <<<"$json")" 1 "JSON on one line"
is "$(jq -c 'keys' <<<"$json")" '["hosts","network","version"]' "its keys"
is "$(jq -c '[.hosts[] | keys] | unique | .[]' <<<"$json")" '["address","index","name","processes","sockets"]' "those of a host"
is "$(jq -c '[.hosts[].sockets[] | keys] | unique | .[]' <<<"$json")" \
    '["family","ip","os","os_peer","peer","pid","port","program","scope","state"]' "those of a socket"
is "$(jq -r '.network' <<<"$json")" "$LONET_NETWORK" "the network"
is "$(jq -c '.hosts | map([.name, .index])' <<<"$json")" '[["α",1],["β",2]]' "hosts: no name that was only mentioned"
is "$(jq -c '.hosts[].sockets[] | [.port, .state, .scope, .family, .peer, .program]' <<<"$json" | sort)" "\
[1,\"bound\",null,null,null,\"python3\"]
[1,\"connected\",null,null,\"α:8080\",\"python3\"]
[70,\"listening\",\"loopback\",\"v4\",null,\"python3\"]
[8080,\"connected\",null,null,\"β:1\",\"python3\"]
[8080,\"listening\",\"host\",\"v4\",null,\"python3\"]
[90,\"listening\",\"host\",\"v6\",null,\"python3\"]
[91,\"listening\",\"host\",\"both\",null,\"python3\"]" "sockets"
is "$(jq -c '[.hosts[].sockets[].pid] | unique' <<<"$json")" "$(jq -nc "[$server, $client] | sort")" "pids"
is "$(jq -r '.hosts[].sockets[].os' <<<"$json" | sed -E "s/^127\.$block\.0\.[12]:[0-9]+$/ok/" | sort -u)" ok "OS addresses are the host's"

