#!/bin/bash
# A Redis master and its replica, both on port 6379, under three sentinels, all on 26379, that know each other and them
# by name. The master is killed with -9: the sentinels promote the replica; the old master comes back as a replica.
. "$(dirname "$0")/../scenario.bash"
need redis-cli redis-server

cli() { lonet run --host cli -- redis-cli "$@"; }
# server HOST OPTION…
server() {
    mkdir -p "$work/data/$1"
    start "$1" lonet run --host "$1" -- redis-server --port 6379 --protected-mode no --save '' --dir "$work/data/$1" \
        --replica-announce-ip "$1.lonet" --repl-diskless-sync-delay 0 "${@:2}"
}
server α
master=$pid
server β --replicaof α.lonet 6379
replicates() { cli -h "$1" info replication | grep -q 'master_link_status:up'; }
until_true replicates β.lonet
# WAIT is about what its own connection wrote. The replica says that its link is up while the master still holds back what
# is written, for up to a second: until it has reaped the child that sent the first copy, and heard from the replica again.
is "$(cli -h α.lonet <<<$'set key value\nwait 1 30000')" $'OK\n1' "written to the master and on the replica"

sentinels=(s1 s2 s3)
for host in "${sentinels[@]}"; do
    cat >"$work/$host.conf" <<CONF
port 26379
dir $work
protected-mode no
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $host.lonet
sentinel monitor it α.lonet 6379 2
sentinel down-after-milliseconds it 3000
sentinel failover-timeout it 5000
CONF
    start "$host" lonet run --host "$host" -- redis-server "$work/$host.conf" --sentinel
done
lonet wait --timeout 120 "${sentinels[@]/%/:26379}"
# field SENTINEL FIELD: what it thinks of the master.
field() { cli -h "$1.lonet" -p 26379 sentinel master it | sed -n "/^$2\$/ { n; p }"; }
# It asks every 10 s what a server is, waits for four announcements, 2 s apart, before it takes a master for what should be
# a replica, and pings every second: less than a few of these counts as down on a busy machine, and then all starts again.
for host in "${sentinels[@]}"; do
    is "$(cli -h "$host.lonet" -p 26379 sentinel debug info-period 500 publish-period 250 ping-period 250)" OK "$host hurries"
done
for host in "${sentinels[@]}"; do
    knows() { [ "$(field "$host" num-other-sentinels) $(field "$host" num-slaves)" = "2 1" ]; }
    until_true knows
    echo "ok: $host has found the other two and the replica"
done

kill -9 "$master"
wait "$master" || true
for host in "${sentinels[@]}"; do
    agrees() { [ "$(cli -h "$host.lonet" -p 26379 sentinel get-master-addr-by-name it | tr '\n' ' ')" = "β.lonet 6379 " ]; }
    until_true agrees
    echo "ok: $host says that β is the master"
done
promoted() { cli -h β.lonet role | grep -qx master; }
until_true promoted
is "$(cli -h β.lonet get key)" value "β has the data"
is "$(cli -h β.lonet set key again)" OK "and takes more"

server α
until_true replicates α.lonet
# Each sentinel tells it whose replica it is, and ends its other clients with that: a question may go unanswered.
follows() { [[ "$(cli -h α.lonet role | tr '\n' ' ')" == "slave β.lonet "* ]]; }
until_true follows
echo "ok: the old master came back as a replica of β"
reads_again() { [ "$(cli -h α.lonet get key)" = again ]; }
until_true reads_again
