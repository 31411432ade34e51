#!/bin/bash
# `lonet addr` prints where the kernel has a listener, for programs outside lonet.
. "$(dirname "$0")/scenario.bash"

echo "here is α" >"$work/page"
code 1 lonet addr α:8080
is "$err" "lonet: network \"$LONET_NETWORK\" is not running" "a network that does not run"
start server lonet run --os-ports private -H α -- python3 -m http.server --directory "$work" 8080
lonet wait --timeout 120 α:8080
code 0 lonet addr α:8080
is "$(curl -sS "http://$out/page")" "here is α" "curl without lonet gets α's page there"
code 0 lonet addr Α.lonet:8080
code 1 lonet addr α:8081
is "$err" "lonet: nothing listens on α:8081; α listens on 8080" "where nothing listens"
code 1 lonet addr β:8080
is "$err" "lonet: nothing listens on β:8080; no host \"β\" is up in network $LONET_NETWORK; up are: α" "on a host that is not there"
os=$(lonet addr α:8080)
is "$(lonet addr "$os") $(lonet addr --host "$os") $(lonet addr --port "$os") $(lonet addr --url "$os")" \
    "α:8080 α 8080 http://α.lonet:8080/" "the way back"
code 1 lonet addr "${os%:*}:9"
is "$err" "lonet: network $LONET_NETWORK has no socket at ${os%:*}:9; \`lonet ls\` shows where it has some" "where none is"
is "$(lonet addr --host α:8080) $(lonet addr --port α:8080) $(lonet addr --url α:8080)" "${os%:*} ${os#*:} http://$os/" \
    "the parts of it, and a URL"
