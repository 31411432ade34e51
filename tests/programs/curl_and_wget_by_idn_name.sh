#!/bin/bash
# curl and wget reach hosts under names of several scripts, written as a user writes them, in upper case, with a closing
# dot, and in their ASCII form. The Host header is what these programs make of the name.
. "$(dirname "$0")/../scenario.bash"
need curl python3 wget

cat >"$work/server.py" <<'PY'
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{socket.gethostname()} was asked as {self.headers['Host']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
PY
# Name as a user writes it, and its ASCII form.
names=(
    'α xn--mxa' 'bücher xn--bcher-kva' 'пример xn--e1afmkfd' '例え xn--r8jz45g' 'www www'
)
declare -A other=([α]=Α [bücher]=BÜCHER [пример]=ПРИМЕР [www]=WWW)
hosts=()
for pair in "${names[@]}"; do
    start "${pair#* }" lonet run -H "${pair% *}" -- python3 "$work/server.py"
    hosts+=("${pair% *}:80")
done
lonet wait --timeout 120 "${hosts[@]}"
curl() { lonet run -H client -- curl -sS "$@"; }
wget() { lonet run -H client -- wget -qO- "$@"; }
for pair in "${names[@]}"; do
    name=${pair% *} ascii=${pair#* }
    for get in curl wget; do
        is "$($get "http://$name.lonet/")" "$name.lonet was asked as $ascii.lonet" "$get http://$name.lonet/"
        is "$($get "http://$ascii.lonet/")" "$name.lonet was asked as $ascii.lonet" "$get http://$ascii.lonet/"
        upper=${other[$name]-$name}
        is "$($get "http://$upper.lonet/" | cut -d ' ' -f 1)" "$name.lonet" "$get http://$upper.lonet/"
        is "$($get "http://$name.lonet./" | cut -d ' ' -f 1)" "$name.lonet" "$get http://$name.lonet./"
    done
done
code 7 curl http://www.lonet:81/
code 4 wget http://www.lonet:81/
