#!/bin/bash
# A supervised Chromium shows a page of another host, which it finds by name, and its renderer is in the sandbox that it has
# without lonet: namespaces, and filters of system calls beside lonet's. As root Chromium has none.
. "$(dirname "$0")/../scenario.bash"
need chromium pgrep python3

# How many pid namespaces, and at least how many filters the renderer is in; one filter is lonet's.
sandbox=() namespaces=2 filters=2
if [ "$(id -u)" = 0 ] || ! unshare --user --map-root-user --pid --net true 2>/dev/null; then
    sandbox=(--no-sandbox) namespaces=1 filters=1
fi
# A page whose script is sent when there is a line on its input.
cat >"$work/page.py" <<'END'
import socket, sys
s = socket.create_server(("", 80))
while True:
    c, peer = s.accept()
    request = c.makefile("rb")
    path = request.readline().split(b" ")[1:2]
    while request.readline().strip():
        pass
    kind, body = "html", "<p id=here></p><script src=/script.js></script>"
    if path == [b"/script.js"]:
        print("asked by", peer[0], flush=True)
        sys.stdin.readline()
        kind, body = "javascript", "document.getElementById('here').textContent = `here is ${location.host}`"
    c.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: text/{kind}\r\nConnection: close\r\n\r\n{body}".encode())
    request.close()
    c.close()
END
commanded 5 page lonet run --host alpha -- python3 "$work/page.py"
lonet wait --timeout 120 alpha:80

start dom env HOME="$work" lonet run --host beta --supervise always -- chromium --headless "${sandbox[@]}" --disable-gpu \
    --disable-background-networking --disable-dev-shm-usage --user-data-dir="$work/profile" --dump-dom http://alpha.lonet/
browser=$pid
until_true grep -q "asked by" "$work/page"
is "$(<"$work/page")" "asked by $(lonet run --host gamma -- getent ahostsv4 beta.lonet | awk 'NR == 1 { print $1 }')" "it dials as its host"

renders() {
    local process
    for process in $(descendants "$browser"); do
        grep -qz -- '--type=renderer' "/proc/$process/cmdline" || continue
        awk -v namespaces="$namespaces" -v filters="$filters" '
            /^NSpid:/ { separate = NF - 1 >= namespaces }
            /^Seccomp_filters:/ { filtered = $2 >= filters }
            END { exit !(separate && filtered) }' "/proc/$process/status" && return 0
    done
    return 1
}
until_true renders
echo "ok: its renderer is in $namespaces pid namespaces and $filters filters"
echo >&5
wait "$browser" || fail "it has ended with $?"
like "$(<"$work/dom")" '<p id="here">here is alpha\.lonet</p>' "it shows the page"
