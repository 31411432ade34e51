#!/bin/bash
# Two memcached on two hosts, both on port 11211, and a client that speaks to both by name.
. "$(dirname "$0")/../scenario.bash"
need memcached nc

as_user=()
[ "$(id -u)" != 0 ] || as_user=(-u nobody)
for host in α β; do
    start "$host" lonet run -H $host -- memcached -U 0 -t 2 ${as_user[@]+"${as_user[@]}"}
done
lonet wait --timeout 120 α:11211 β:11211
ask() { printf '%s\r\n' "${@:2}" quit | lonet run -H γ -- nc "$1.lonet" 11211 | tr -d '\r'; }
for host in α β; do
    is "$(ask $host 'set key 0 0 7' "this is" 'append key 0 0 3' " $host")" "STORED
STORED" "stored on $host"
done
for host in α β; do
    is "$(ask $host 'get key' | sed -n 2p)" "this is $host" "read back from $host"
done
