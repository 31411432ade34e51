#!/bin/bash
# A host or network that is mistyped is answered with those that are up, and what is no lonet address with the reason.
. "$(dirname "$0")/scenario.bash"

other=$LONET_NETWORK-other
start alpha lonet run -H alpha -- sleep 1000
start beta lonet run -H beta -- sleep 1000
start other lonet run -n "$other" -H γ -- sleep 1000
all_up() { [ "$(lonet networks | grep -cE ' (1 host|2 hosts),')" = 2 ] && [ "$(lonet ls --json | jq '.hosts | length')" = 2 ]; }
until_true all_up

mistyped="no host \"alhpa\" is up in network $LONET_NETWORK; up are: alpha, beta"
for command in "kill alhpa" "pause alhpa"; do
    code 1 lonet $command
    is "$err" "lonet: $mistyped" "lonet $command"
done
for command in "addr alhpa:80" "forward alhpa:80 0" "wait --timeout 0 alhpa:80"; do
    code 1 lonet $command
    is "$err" "lonet: nothing listens on alhpa:80; $mistyped" "lonet $command"
done

code 0 lonet ls -n mine
is "$err" "lonet: network \"mine\" is not running; running are: $LONET_NETWORK, $other" "ls of a network that does not run"
code 0 lonet down -n mine
is "$err" "lonet: network \"mine\" is not running; running are: $LONET_NETWORK, $other" "down"
[ ! -e "$TMPDIR/lonet/mine" ] || fail "it was started"

for command in addr "wait --timeout 0"; do
    code 1 lonet $command localhost:80
    is "$err" 'lonet: address "localhost:80": each host has a localhost of its own; name the host, as in web:80' "$command localhost"
    code 1 lonet $command :80
    is "$err" 'lonet: address ":80": no host; name the host, as in web:80' "$command :80"
done
for ip in 10.0.0.1:81 '[::1]:81'; do
    code 1 lonet wait --timeout 0 "$ip"
    is "$err" "lonet: address \"$ip\": an IP address is not the name of a host; name the host, as in web:81" "wait $ip"
done
