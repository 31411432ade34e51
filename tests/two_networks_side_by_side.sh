#!/bin/bash
# Two networks have hosts of the same names, on the same ports, and nothing to do with each other.
. "$(dirname "$0")/scenario.bash"

one=$LONET_NETWORK-1 two=$LONET_NETWORK-2
for network in "$one" "$two"; do
    mkdir "$work/$network" && echo "α of $network" >"$work/$network/page"
    start "$network.log" lonet run -n "$network" -H α -- python3 -m http.server --directory "$work/$network" 8080
    lonet wait -n "$network" --timeout 120 α:8080
done
for network in "$one" "$two"; do
    is "$(lonet run -n "$network" -H β -- curl -sS http://α.lonet:8080/page)" "α of $network" "β of $network reaches its own α"
    is "$(lonet ls -n "$network" --json | jq -r '.hosts[] | "\(.index) \(.name)"')" "1 α" "$network counts its own hosts"
done
addresses=$(for network in "$one" "$two"; do lonet addr -n "$network" α:8080; done)
is "$(sort -u <<<"$addresses" | wc -l)" 2 "behind the same lonet address are two of the kernel's"
is "$(lonet networks | awk '{print $1}')" "$one"$'\n'"$two" "both are listed"
stop "$pid"
code 0 lonet down -n "$two"
is "$(lonet run -n "$one" -H β -- curl -sS http://α.lonet:8080/page)" "α of $one" "one ends and the other goes on"
