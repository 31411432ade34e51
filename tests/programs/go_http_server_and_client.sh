#!/bin/bash
# Go programs are hosts by supervision: net/http's server and client, the poller, Go's own resolver in both directions.
. "$(dirname "$0")/../scenario.bash"
need curl go

mkdir "$work/src" && cd "$work/src"
cat >main.go <<'GO'
// With arguments a client, which says what each URL has; else a server on port 8080, which welcomes its callers by their addresses.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	name, err := os.Hostname()
	fail(err)
	if len(os.Args) == 1 {
		listener, err := net.Listen("tcp", ":8080")
		fail(err)
		fmt.Println(name, listener.Addr())
		fail(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			names, _ := net.LookupAddr(host)
			fmt.Fprintf(w, "%s welcomes %s", name, strings.Join(names, " "))
		})))
	}
	for _, url := range os.Args[1:] {
		dialer := net.Dialer{Timeout: 20 * time.Second}
		transport := &http.Transport{DialContext: func(c context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(c, network, address)
		}}
		response, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			fmt.Println(err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		fail(err)
		fmt.Println(string(body))
	}
}
GO
printf 'module web\n\ngo 1.19\n' >go.mod
HOME=$work GOCACHE=$work/src/cache GOFLAGS=-mod=mod CGO_ENABLED=0 GOTOOLCHAIN=local go build -o web .
start web lonet run -H web -- ./web
lonet wait --timeout 120 web:8080
until_true test -s "$work/web"
is "$(<"$work/web")" "web.lonet [::]:8080" "a Go server has its host's name and port"
is "$(lonet run -H h -- curl -sS http://web.lonet:8080/)" "web.lonet welcomes h.lonet." "a hooked client is served, and known by its name"
# The same program on another host has the same port.
start other lonet run -H other -- ./web
lonet wait --timeout 120 other:8080
is "$(lonet run -H g -- ./web http://web.lonet:8080/ http://other.lonet:8080/ http://web.lonet:81/)" \
    "web.lonet welcomes g.lonet.
other.lonet welcomes g.lonet.
Get \"http://web.lonet:81/\": dial tcp $(lonet addr --host web:8080):81: connect: connection refused" "a Go client finds both by name, and is refused where nobody listens"
start hooked lonet run -H hooked -- python3 -m http.server 80
lonet wait --timeout 120 hooked:80
like "$(lonet run -H g -- ./web http://hooked.lonet/)" "Directory listing" "a Go client is served by a hooked server"
# Many at a time, over connections that are kept and over new ones.
like "$(lonet run -H g --supervise always -- bash -c 'for i in {1..20}; do ./web http://web.lonet:8080/ & done; wait' | sort -u)" \
    '^web.lonet welcomes g.lonet.$' "twenty clients of one host at a time"
