#!/bin/bash
# nginx, which is hooked, balances over two Go servers, which are supervised, both on port 8080 of hosts of their own, and
# itself serves a Go client. One that is killed is passed over, and has its share again when it is back.
. "$(dirname "$0")/../scenario.bash"
need curl go nginx

mkdir "$work/src" && cd "$work/src"
cat >main.go <<'GO'
// With a URL a client, else a server that says who it is and who calls.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		response, err := http.Get(os.Args[1])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		io.Copy(os.Stdout, response.Body)
		return
	}
	name, _ := os.Hostname()
	fmt.Println(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s for %s by %s\n", name, r.Header.Get("X-Real-IP"), caller)
	})))
}
GO
printf 'module web\n\ngo 1.19\n' >go.mod
HOME=$work GOCACHE=$work/src/cache GOFLAGS=-mod=mod CGO_ENABLED=0 GOTOOLCHAIN=local go build -o web .
for host in one two; do
    start $host lonet run -H $host -- ./web
done
lonet wait --timeout 120 one:8080 two:8080
cat >"$work/nginx.conf" <<CONF
daemon off;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log info;
events { worker_connections 256; }
http {
    access_log $work/access.log;
    client_body_temp_path $work/temporary; proxy_temp_path $work/temporary; fastcgi_temp_path $work/temporary;
    uwsgi_temp_path $work/temporary; scgi_temp_path $work/temporary;
    upstream servers {
        server one.lonet:8080 fail_timeout=1s;
        server two.lonet:8080 fail_timeout=1s;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://servers;
            proxy_set_header X-Real-IP \$remote_addr;
        }
    }
}
CONF
start front lonet run -H front -- nginx -e "$work/error.log" -c "$work/nginx.conf"
lonet wait --timeout 120 front:80

address() { lonet run -H cli -- getent ahostsv4 "$1.lonet" | awk 'NR == 1 { print $1 }'; }
cli=$(address cli) front=$(address front)
# answers CLIENT…: the answers to eight calls of it, each once.
answers() {
    local n
    for n in {1..8}; do lonet run -H cli -- "$@" http://front.lonet/; done | sort -u
}
both="one.lonet for $cli by $front
two.lonet for $cli by $front"
is "$(answers curl -sS)" "$both" "both serve a hooked client, and nginx and they see the addresses of who calls"
is "$(answers ./web)" "$both" "and a supervised one"
lonet kill -s KILL two
until_true eval '! lonet addr two:8080'
is "$(answers curl -sS)" "one.lonet for $cli by $front" "one that is killed is passed over"
start two lonet run -H two -- ./web
lonet wait --timeout 120 two:8080
all_answer() { [ "$(answers curl -sS)" = "$both" ]; }
until_true all_answer
echo "ok: and has its share again when it is back"
