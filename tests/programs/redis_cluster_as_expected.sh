#!/bin/bash
# What happens between three Redis servers that become a cluster is recorded once, and happens so each time; where a line of
# the record is changed, the first difference is shown.
. "$(dirname "$0")/../scenario.bash"
need jq redis-cli redis-server

cli() { lonet run --host cli -- redis-cli "$@"; }
# Of each node one connection to each other one, over which it asks them, on its bus.
linked() {
    lonet ls --json | jq -e '[.hosts[].sockets[] | select(.state == "connected" and (.peer // "" | endswith(":16379")))] | length == 6'
}
client_has_gone() { lonet ls --json | jq -e 'all(.hosts[]; .name != "cli")'; }
# once NAME: a run, whose trace is NAME.jsonl.
once() {
    local host addresses
    lonet trace --start
    for host in r1 r2 r3; do
        rm -rf "${work:?}/$host" && mkdir "$work/$host"
        start "$host.log" lonet run --host "$host" -- redis-server --port 6379 --protected-mode no --save '' \
            --cluster-enabled yes --dir "$work/$host" --cluster-node-timeout 30000
    done
    lonet wait --timeout 60 r1:6379 r2:6379 r3:6379 r1:16379 r2:16379 r3:16379
    mapfile -t addresses < <(lonet ls --json | jq -r '.hosts | sort_by(.name)[] | .address + ":6379"')
    cli --cluster create "${addresses[@]}" --cluster-yes >"$work/create"
    # On one connection, until it is so.
    for host in r1 r2 r3; do
        { cli -h "$host.lonet" -r -1 -i 0.05 cluster info || true; } | grep -m 1 cluster_state:ok >/dev/null
    done
    until_true linked
    is "$(cli -c -h r1.lonet set foo bar)" OK "a key is written"
    is "$(cli -c -h r2.lonet get foo)" bar "and read"
    until_true client_has_gone
    lonet trace --format jsonl >"$work/$1.jsonl"
    lonet down --kill
}

once first
lonet expect --trace "$work/first.jsonl" --record "$work/expected" --loose
[ "$(grep -c 'dial r[123]:\* -> r[123]:16379' "$work/expected")" -ge 6 ] || fail "the bus: $(<"$work/expected")"
runs=3
[ -z "${LONET_FULL-}" ] || runs=20
for run in $(seq $runs); do
    once "run$run"
    code 0 lonet expect --trace "$work/run$run.jsonl" "$work/expected"
done

line=$(grep -n -m 1 'r1 accepted r2:\*' "$work/expected")
sed "${line%%:*}s/r2:\*/r4:*/" "$work/expected" >"$work/changed"
code 1 lonet expect --trace "$work/first.jsonl" "$work/changed"
like "$out" "^$work/changed:${line%%:*}: what happened is not what is expected
.*  - .*r1 accepted r4:\* -> r1:16379.*
  \+ [0-9:.]+ r1 redis-server\([0-9]+\) accepted r2:[0-9]+ → r1:16379
" "the line that is changed is the difference"
