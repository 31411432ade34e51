#!/bin/bash
# etcd ×3, a Go program, all on ports 2379 and 2380 of their hosts, that know each other by name. What is put is got from each;
# the leader is killed with -9, the others elect another one and go on; the old one comes back and has what it missed.
. "$(dirname "$0")/../scenario.bash"
need etcd etcdctl jq

members=(e1 e2 e3)
cluster=e1=http://e1.lonet:2380,e2=http://e2.lonet:2380,e3=http://e3.lonet:2380
declare -A pids
mkdir "$work/data"
member() {
    start "$1" lonet run --host "$1" -- etcd --name "$1" --data-dir "$work/data/$1" \
        --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls "http://$1.lonet:2379" \
        --listen-peer-urls http://0.0.0.0:2380 --initial-advertise-peer-urls "http://$1.lonet:2380" \
        --initial-cluster "$cluster" --initial-cluster-state new
    pids[$1]=$pid
}
for name in "${members[@]}"; do member "$name"; done
ctl() { ETCDCTL_API=3 lonet run --host cli -- etcdctl --dial-timeout 5s --command-timeout 10s --endpoints "$@"; }
is_healthy() { ctl "http://$1.lonet:2379" endpoint health; }
for name in "${members[@]}"; do until_true is_healthy "$name"; done
echo "ok: three members are healthy"
is "$(ctl http://e1.lonet:2379 put key value)" OK "put at one"
for name in "${members[@]}"; do
    is "$(ctl "http://$name.lonet:2379" get key --print-value-only)" value "$name has it"
done
is "$(lonet ls --json | jq -r '[.hosts[].sockets[]? | select(.state == "listening") | .port] | unique | join(" ")')" "2379 2380" \
    "all listen on the same two ports"

# leader: who leads, as a member that is there says.
leader() {
    local name
    for name in "${members[@]}"; do
        if ctl "http://$name.lonet:2379" endpoint status --write-out json 2>/dev/null |
            jq -e '.[0].Status | .header.member_id == .leader' >/dev/null; then
            echo "$name"
            return 0
        fi
    done
    return 1
}
until_true leader
old=$(leader)
kill -KILL "${pids[$old]}"
remaining=()
for name in "${members[@]}"; do [ "$name" = "$old" ] || remaining+=("$name"); done
members=("${remaining[@]}")
puts() { ctl "http://${members[0]}.lonet:2379" put key "$1"; }
until_true puts other
until_true leader
is "$([ "$(leader)" != "$old" ] && echo another)" another "the leader is killed, and another one is elected"
member "$old"
has_it() { [ "$(ctl "http://$old.lonet:2379" get key --print-value-only)" = other ]; }
until_true has_it
echo "ok: the old leader comes back and has what was put meanwhile"
