#!/bin/bash
# A socket that was closed while it was cut off is there until the network ends: its close is in the trace all the same.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

start trace lonet trace --follow
trace=$pid
node α
node β
tell β listen 80
connect α β
code 0 lonet cut α β
tell α close c
is "$answer" closed "α closes its end"
code 0 lonet down --kill
wait "$trace" || true
until_true grep -q "β host_down" "$work/trace"
like "$(grep -c 'α .* closed α:1 → β:80' "$work/trace" || true)" "^1$" "its close is there, once"
