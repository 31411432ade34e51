#!/bin/bash
# caddy, a Go program, as proxy before a static busybox's httpd, and prometheus, another one, that asks both caddy and a hooked
# program for figures: each by name, at the ports that they usually have.
. "$(dirname "$0")/../scenario.bash"
need busybox-static caddy curl jq prometheus python3

mkdir -p "$work/www" "$work/data"
echo "from busybox" >"$work/www/index.html"
is "$(lonet check --json busybox | jq -r .verdict)" supervised "busybox cannot be hooked"
start back lonet run --host back -- busybox httpd -f -p 80 -h "$work/www"
cat >"$work/Caddyfile" <<'CADDY'
{
    admin :2019
    auto_https off
}
:80 {
    reverse_proxy back.lonet:80
}
CADDY
lonet wait --timeout 120 back:80
start front env HOME="$work/data" lonet run --host front -- caddy run --adapter caddyfile --config "$work/Caddyfile"
lonet wait --timeout 60 front:{80,2019}
curl() { lonet run --host cli -- curl -sS "$@"; }
is "$(curl http://front.lonet/)" "from busybox" "caddy fetches from busybox by name"

cat >"$work/figures.py" <<'P'
import http.server
class Figures(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"answer 42\n")
http.server.HTTPServer(("", 9100), Figures).serve_forever()
P
start node lonet run --host node -- python3 "$work/figures.py"
cat >"$work/prometheus.yml" <<'YAML'
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: all
    static_configs:
      - targets: ["node.lonet:9100", "front.lonet:2019"]
YAML
start watch lonet run --host watch -- prometheus --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/data/tsdb"
lonet wait --timeout 60 watch:9090 node:9100
query() { curl --get http://watch.lonet:9090/api/v1/query --data-urlencode "query=$1"; }
has_both() { [[ $(query 'sum(up)') == *'"2"'* ]] && [[ $(query answer) == *'"42"'* ]]; }
until_true has_both
echo "ok: prometheus scrapes a hooked and a supervised program by name"
