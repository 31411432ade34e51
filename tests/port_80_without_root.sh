#!/bin/bash
# Any user's server has α:80, which the kernel gives to root alone; `lonet ls` shows where it really is.
. "$(dirname "$0")/scenario.bash"

echo "here is α" >"$work/page"
start server lonet run -H α -- python3 -m http.server --directory "$work" 80
lonet wait --timeout 120 α:80
is "$(lonet run -H β -- curl -sS http://α.lonet/page)" "here is α" "reached on port 80"
socket=$(lonet ls --json | jq -c '.hosts[] | select(.name == "α") | .sockets[] | select(.state == "listening")')
is "$(jq -c '[.port, .pid]' <<<"$socket")" "[80,$pid]" "ls shows α:80"
os=$(jq -r .os <<<"$socket")
is "$(curl -sS "http://$os/page")" "here is α" "and $os, where a program outside lonet reaches it"
start=$(</proc/sys/net/ipv4/ip_unprivileged_port_start)
if [ "$(id -u)" != 0 ] && [ "$start" -gt 80 ]; then
    [ "${os#*:}" -ge "$start" ] || fail "$os is not for users"
fi
