#!/bin/bash
# nginx with two workers on φ:80, in both families and with reuseport, in front of three backends that all listen on
# :80 and that it knows by name. A backend that is gone is passed over; a reload takes what the configuration says then.
. "$(dirname "$0")/../scenario.bash"
need curl jq nginx python3

declare -A backend
for host in β γ δ; do
    mkdir "$work/$host-files"
    echo "here is $host" >"$work/$host-files/page"
    start "$host" lonet run -H $host -- python3 -m http.server --directory "$work/$host-files" 80
    backend[$host]=$pid
done
lonet wait --timeout 120 β:80 γ:80 δ:80

# configuration BACKEND…
configuration() {
    cat <<CONF
daemon off;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log info;
events { worker_connections 256; }
http {
    access_log $work/access.log;
    client_body_temp_path $work/temporary; proxy_temp_path $work/temporary; fastcgi_temp_path $work/temporary;
    uwsgi_temp_path $work/temporary; scgi_temp_path $work/temporary;
    upstream backends { $(printf 'server %s.lonet:80; ' "$@") }
    server {
        listen 80 reuseport;
        listen [::]:80 ipv6only=on reuseport;
        server_name φ.lonet;
        location / { proxy_pass http://backends; }
        location /addresses { return 200 "\$remote_addr \$server_addr \$server_port\n"; }
    }
}
CONF
}
configuration β γ δ >"$work/nginx.conf"
start nginx lonet run -H φ -- nginx -e "$work/error.log" -c "$work/nginx.conf"
nginx=$pid
lonet wait --timeout 120 φ:80

get() { lonet run -H κ -- curl -sS "$@"; }
address() { lonet run -H κ -- getent "ahosts$1" "$2.lonet" | awk 'NR == 1 { print $1 }'; }
answers() {
    local n
    for n in {1..12}; do get "http://φ.lonet/page"; done | sort -u
}
is "$(answers)" "$(printf 'here is %s\n' β γ δ | sort)" "each of the three answers"
is "$(get http://φ.lonet/addresses)" "$(address v4 κ) $(address v4 φ) 80" "both ends' addresses"
is "$(get "http://[$(address v6 φ)]/addresses")" "$(address v6 κ) $(address v6 φ) 80" "and their IPv6 faces"
like "$(grep -c . "$work/β")$(<"$work/β")" "$(address v4 φ | sed 's/\./\\./g') - .*GET /page HTTP/1.0\" 200" "a backend sees φ's address"
listening=$(lonet ls --json | jq -c '[.hosts[] | select(.name == "φ") | .sockets[] | select(.state == "listening") | .port] | unique')
is "$listening" "[80]" "ls shows φ:80"

stop "${backend[γ]}"
is "$(answers)" "$(printf 'here is %s\n' β δ | sort)" "one that is gone is passed over"
configuration δ >"$work/nginx.conf"
kill -HUP "$nginx"
reloaded() { [ "$(answers)" = "here is δ" ]; }
until_true reloaded
echo "ok: reloaded with one backend"
kill -QUIT "$nginx"
wait "$nginx"
code 7 lonet run -H κ -- curl -sS http://φ.lonet/page
like "$err" 'ailed to connect' "after the end the port is closed"
