#!/bin/bash
# HAProxy with two threads on φ:80, in both families, over three backends that all listen on :80 and that it knows by
# name. Its health checks take out one that ends, and take in one that returns; a reload passes the listeners to the
# next process, and no call fails meanwhile.
. "$(dirname "$0")/../scenario.bash"
need curl haproxy pgrep python3

declare -A backend
run_backend() {
    mkdir -p "$work/$1-files"
    echo "here is $1" >"$work/$1-files/page"
    start "$1" lonet run -H "$1" -- python3 -m http.server --directory "$work/$1-files" 80
    backend[$1]=$pid
}
# HAProxy takes no name that is not ASCII.
for host in web1 web2 web3; do run_backend $host; done
lonet wait --timeout 120 web1:80 web2:80 web3:80
cat >"$work/haproxy.cfg" <<CONF
global
    nbthread 2
    stats socket $work/admin level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 10s
frontend web
    bind :80
    bind :::80 v6only
    http-request return status 200 content-type text/plain lf-string "%[src] %[dst] %[dst_port]\n" if { path /addresses }
    default_backend servers
backend servers
    option httpchk GET /page
    default-server check inter 1s fall 1 rise 1
    server one web1.lonet:80
    server two web2.lonet:80
    server three web3.lonet:80
CONF
start haproxy lonet run -H φ -- haproxy -W -f "$work/haproxy.cfg"
haproxy=$pid
lonet wait --timeout 120 φ:80

get() { lonet run -H κ -- curl -sS --fail "$@"; }
address() { lonet run -H κ -- getent "ahosts$1" "$2.lonet" | awk 'NR == 1 { print $1 }'; }
answers() {
    local n
    for n in {1..6}; do get "http://φ.lonet/page"; done | sort -u
}
are() { [ "$(answers)" = "$(printf 'here is %s\n' "$@")" ]; }
until_true are web1 web2 web3
echo "ok: each of the three answers"
is "$(get http://φ.lonet/addresses)" "$(address v4 κ) $(address v4 φ) 80" "both ends' addresses"
is "$(get "http://[$(address v6 φ)]/addresses")" "$(address v6 κ) $(address v6 φ) 80" "and their IPv6 faces"
stop "${backend[web2]}"
until_true are web1 web3
echo "ok: one that ends is taken out"
run_backend web2
until_true are web1 web2 web3
echo "ok: and taken in again"

worker() { pgrep -P "$haproxy" haproxy; }
before=$(worker)
kill -USR2 "$haproxy"
count=0
# The old worker ends when it has served what it had.
until [ "$(worker)" != "$before" ] && [ "$(worker | wc -l)" = 1 ]; do
    get http://φ.lonet/page >/dev/null
    count=$((count + 1))
done
like "$count" '^[1-9]' "no call fails while the next process takes over"
is "$(answers)" "$(printf 'here is %s\n' web1 web2 web3)" "which answers from all three"
