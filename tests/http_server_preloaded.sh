#!/bin/bash
# With nothing set but LD_PRELOAD a server binds the address of a name, and a client in another shell reaches it.
. "$(dirname "$0")/scenario.bash"

# The network is then that of the user: in a directory of its own here, so that it is not anybody's real one.
unset LONET_NETWORK
network=u$(id -u)
echo "here is α" >"$work/page"
LD_PRELOAD=$library start server python3 -u -m http.server --directory "$work" --bind α.lonet 8080
lonet wait -n "$network" --timeout 120 α:8080
is "$(LD_PRELOAD=$library curl -sS http://α.lonet:8080/page)" "here is α" "curl gets the page"
is "$(LD_PRELOAD=$library curl -sS http://xn--mxa.lonet:8080/page)" "here is α" "also under IDNA's name"
is "$(LD_PRELOAD=$library curl -sS http://Α.LONET.:8080/page)" "here is α" "also in other letters"

json=$(lonet ls -n "$network" --json)
is "$(jq -r '.network' <<<"$json")" "$network" "the network is the user's"
is "$(jq -r '.hosts[] | select(.name == "α") | .sockets[] | select(.state == "listening") | .pid' <<<"$json")" "$pid" \
    "the socket is α's, and the server's"
