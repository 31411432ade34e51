#!/bin/bash
# The command takes a network's name as lonet_network() gives it: `lonetX` is network X, unless there is a network `lonetX`.
. "$(dirname "$0")/scenario.bash"

start short lonet run -n X -H α -- sleep 1000
in_X() { [ "$(lonet networks)" = "X  1 host, 1 process" ]; }
until_true in_X
is "$(lonet ls -n lonetX --json | jq -r .network)" X "lonetX is network X"
is "$(LONET_NETWORK=lonetX lonet ls --json | jq -r .network)" X "also as a variable says it"
code 0 lonet run -n lonetX -H β -- sh -c 'echo $LONET_NETWORK'
is "$out" X "a program is run there"

start long lonet run -n lonetY -H α -- sleep 1000
both() { [ "$(lonet networks | cut -d ' ' -f 1 | tr '\n' ' ')" = "$1" ]; }
until_true both "X lonetY "
start alike lonet run -n Y -H α -- sleep 1000
until_true both "X Y lonetY "
is "$(lonet ls -n lonetY --json | jq -r .network)" lonetY "the exact name comes first"
is "$(lonet ls -n Y --json | jq -r .network)" Y "a name is not made longer"
is "$(lonet ls -n lonet --json 2>"$work/said" | jq -r .network)" lonet "lonet itself is a name like others"
