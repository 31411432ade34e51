#!/bin/bash
# A short name is a host's where resolv.conf leaves the search to the host's own domain or names lonet, and what /etc/hosts
# says for it comes first, unless nsswitch.conf has the DNS asked before. Which files a program sees is said by a mount
# namespace of its own.
. "$(dirname "$0")/scenario.bash"
need unshare mount getent

private=(unshare -m)
[ "$(id -u)" = 0 ] || private=(unshare -r -m)
if ! "${private[@]}" mount --bind /etc/hosts /etc/resolv.conf 2>/dev/null; then
    echo "skipped: no mount namespace can be had"
    exit 0
fi

# finds WANT WHAT: the address that α's programs have for beta, with the files that are in $work; "" for none.
finds() {
    local got
    got=$(lonet run -H α -- "${private[@]}" bash -c '
        for file in hosts resolv.conf nsswitch.conf; do mount --bind "$0/$file" "/etc/$file"; done
        getent ahostsv4 beta | awk "NR == 1 { print \$1 }"' "$work")
    is "$got" "$1" "$2"
}
servers="nameserver 127.0.0.1
options timeout:1 attempts:1"

start beta lonet run -H beta -- sleep 1000
until_true eval 'lonet ls | grep -q beta'
beta=$(lonet run -H α -- getent ahostsv4 beta.lonet | awk 'NR == 1 { print $1 }')
like "$beta" '^127\.' "beta.lonet has an address"

echo "127.0.0.1 localhost" >"$work/hosts"
echo "hosts: files dns" >"$work/nsswitch.conf"
echo "$servers" >"$work/resolv.conf"
finds "$beta" "no domain in resolv.conf: the host's own"
printf '%s\n' "domain lonet" "$servers" >"$work/resolv.conf"
finds "$beta" "resolv.conf names lonet"
printf '%s\n' "search example.invalid LONET." "$servers" >"$work/resolv.conf"
finds "$beta" "resolv.conf names lonet among others"
printf '%s\n' "search example.invalid" "$servers" >"$work/resolv.conf"
finds "" "resolv.conf names another domain"

echo "$servers" >"$work/resolv.conf"
echo "192.0.2.7 gamma beta" >>"$work/hosts"
finds 192.0.2.7 "/etc/hosts comes first"
echo "hosts: dns files" >"$work/nsswitch.conf"
finds "$beta" "unless nsswitch.conf has it asked last"
