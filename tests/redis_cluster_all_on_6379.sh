#!/bin/bash
# Three daemonised Redis servers on three hosts, all on port 6379, make one cluster: keys are written and read through
# any node, and each node knows the others by their lonet addresses.
. "$(dirname "$0")/scenario.bash"

hosts=(r1 r2 r3)
for host in "${hosts[@]}"; do
    mkdir "$work/$host"
    # --bind: the second address takes no part; a host has its own loopback and needs no other protection.
    lonet run --host "$host" -- redis-server --port 6379 --daemonize yes --protected-mode no --save '' \
        --cluster-enabled yes --dir "$work/$host" --logfile "$work/$host.log" --pidfile "$work/$host/pid" \
        --cluster-node-timeout 5000
done
lonet wait --timeout 120 r1:6379 r2:6379 r3:6379 r1:16379 r2:16379 r3:16379
addresses=$(lonet ls --json | jq -r '.hosts[] | select(.name | startswith("r")) | .address')

cli() { lonet run --host cli -- redis-cli "$@"; }
# shellcheck disable=SC2046
cli --cluster create $(sed 's/$/:6379/' <<<"$addresses") --cluster-yes >"$work/create.log"
like "$(<"$work/create.log")" "All 16384 slots covered" "redis-cli makes a cluster of the three"
for host in "${hosts[@]}"; do
    formed() { cli -h "$host.lonet" cluster info | grep -q cluster_state:ok; }
    until_true formed
    is "$(cli -h "$host.lonet" cluster nodes | sed -E 's/^[^ ]+ ([^ ]+):6379@16379.*/\1/' | sort)" \
        "$(sort <<<"$addresses")" "$host knows the three by their addresses"
done

for key in {1..12}; do
    to=${hosts[$((key % 3))]} from=${hosts[$(((key + 1) % 3))]}
    is "$(cli -c -h "$to.lonet" set "key$key" "value$key")" OK "key $key is written through $to"
    is "$(cli -c -h "$from.lonet" get "key$key")" "value$key" "and read through $from"
done

peers=$(lonet ls --json | jq -r '[.hosts[].sockets[] | .peer // empty | select(endswith(":16379"))] | unique | join(" ")')
is "$peers" "r1:16379 r2:16379 r3:16379" "ls shows the nodes connected to each other"
code 0 lonet down --kill
for host in "${hosts[@]}"; do
    like "$(<"$work/$host.log")" "SIGTERM" "$host ended when the network was taken down"
done
