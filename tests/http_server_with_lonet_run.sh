#!/bin/bash
# A server that listens on all addresses is reached under its host's name by a program on another host.
. "$(dirname "$0")/scenario.bash"

echo "here is α" >"$work/page"
start server lonet run --host α -- python3 -m http.server --directory "$work" 8080
lonet wait --timeout 120 α:8080
is "$(lonet run --host β -- curl -sS http://α.lonet:8080/page)" "here is α" "curl on β gets α's page"
like "$(<"$work/server")" '127\.[0-9]+\.0\.2 - ' "the server sees the address of β"
