#!/bin/bash
# A Redis Cluster of three masters and three replicas, all on port 6379. A master is killed with -9: its replica takes
# the slots over, the keys are still there, and the old master, started again, joins as a replica.
. "$(dirname "$0")/../scenario.bash"
need jq redis-cli redis-server

hosts=(r1 r2 r3 r4 r5 r6)
declare -A server
node() {
    start "$1" lonet run --host "$1" -- redis-server --port 6379 --protected-mode no --save '' --cluster-enabled yes \
        --dir "$work/data/$1" --cluster-node-timeout 5000
    server[$1]=$pid
}
cli() { lonet run --host cli -- redis-cli "$@"; }
for host in "${hosts[@]}"; do
    mkdir -p "$work/data/$host"
    node "$host"
done
lonet wait --timeout 120 "${hosts[@]/%/:6379}" "${hosts[@]/%/:16379}"
# redis-cli wants addresses here; each comes from the name.
addresses=()
for host in "${hosts[@]}"; do
    addresses+=("$(lonet run --host cli -- getent ahostsv4 "$host.lonet" | awk 'NR == 1 { print $1 ":6379" }')")
done
cli --cluster create "${addresses[@]}" --cluster-replicas 1 --cluster-yes >"$work/create"
like "$(<"$work/create")" "All 16384 slots covered" "redis-cli makes a cluster of the six"

# all_know COUNT FLAGS: every node that runs counts COUNT nodes with those flags, and finds the cluster well.
all_know() {
    local host
    for host in "${!server[@]}"; do
        cli -h "$host.lonet" cluster info | grep -q cluster_state:ok || return 1
        [ "$(cli -h "$host.lonet" cluster nodes | grep -cE "$2")" = "$1" ] || return 1
    done
}
until_true all_know 3 'slave .* connected'
# Each on its master and, before the next, on the replica: WAIT is about what its own connection wrote.
for key in {1..20}; do
    written=$(cli -c -h "r$((key % 6 + 1)).lonet" <<<"set key$key value$key"$'\nwait 1 30000')
    is "$(grep -v '^-> Redirected' <<<"$written")" $'OK\n1' "key $key is written to a master and its replica"
done

killed=r1
old=$(cli -h r1.lonet cluster myid)
replica_address=$(cli -h r2.lonet cluster nodes | awk -v old="$old" '$4 == old { sub(/:6379@.*/, "", $2); print $2 }')
replica=$(lonet ls --json | jq -r --arg address "$replica_address" '.hosts[] | select(.address == $address) | .name')
like "$replica" '^r[456]$' "one of the other three is r1's replica"
kill -9 "${server[$killed]}"
wait "${server[$killed]}" || true
unset "server[$killed]"
took_over() { cli -h "$replica.lonet" role | grep -qx master; }
until_true took_over
until_true all_know 1 'master,fail '
echo "ok: the replica has taken over"
for key in {1..20}; do
    is "$(cli -c -h "$replica.lonet" get "key$key")" "value$key" "key $key is there"
done
is "$(cli -c -h "$replica.lonet" set key1 again)" OK "and can be written"

node "$killed"
until_true all_know 3 'slave .* connected'
is "$(cli -h "$killed.lonet" role | head -n 2 | tr '\n' ' ')" "slave $replica_address " "the old master is its replica"
linked() { cli -h "$killed.lonet" info replication | grep -q master_link_status:up; }
until_true linked
is "$(lonet ls --json | jq -r '[.hosts[] | select(.sockets[] | .port == 6379 and .state == "listening") | .name] | unique | join(" ")')" \
    "${hosts[*]}" "all six listen on 6379"
