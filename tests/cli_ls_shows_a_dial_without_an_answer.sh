#!/bin/bash
# `lonet ls`: a dial that a cut keeps waiting is connecting, not connected, whether its program waits for it or not; it becomes a
# connection when the cut is healed. The graph does not draw it.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node α
node β
tell β listen 80
connect α β
code 0 lonet cut α β
tell α dial d β.lonet 80
states() { lonet ls --json "$@" | jq -r '.hosts[].sockets[] | select(.state != "listening") | [.port, .state, .peer] | join(" ")'; }
is "$(states α)" "1 connected β:80
2 connecting β:80" "the state, and whom it dials"
like "$(lonet ls α)" "α:2 +connecting +β:80 " "the text"
like "$(lonet ls --graph dot α β)" 'label=":80"]' "the graph has the connection alone"
start other lonet run --host γ -- sleep 1000
until_true lonet cut γ β
start waiting lonet run --host γ -- python3 -c 'import socket; socket.create_connection(("β.lonet", 80)); print("made", flush=True)'
until_true eval '[ "$(states γ)" = "1 connecting β:80" ]'
echo "ok: so is one for which its program waits"
code 0 lonet heal
tell α made d
is "$(states α)" "1 connected β:80
2 connected β:80" "after heal it is a connection"
until_true grep -q made "$work/waiting"
