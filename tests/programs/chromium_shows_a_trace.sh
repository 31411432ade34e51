#!/bin/bash
# The page of `lonet trace --html` in a browser: all rows, those of the hosts that are chosen, and names that stay in sight.
. "$(dirname "$0")/../scenario.bash"
need chromium python3

lonet trace --from "$tests/traces/shop.jsonl" --html "$work/shop.html"
# What is in the page when its script has run.
page() {
    HOME=$work chromium --headless --no-sandbox --disable-gpu --disable-background-networking --disable-dev-shm-usage \
        --user-data-dir="$work/profile" --virtual-time-budget=5000 --dump-dom "file://$work/shop.html$1" 2>"$work/chromium" >"$work/dom"
    python3 - "$work/dom" <<'PY'
import html.parser, sys
rows, hosts = [], []
class Reader(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        shown = "none" not in (a.get("style") or "")
        if tag == "g" and (a.get("class") or "").startswith("row ") and shown:
            rows.append(a["class"][4:] + " " + a["transform"].split(",")[1].rstrip(")"))
        if tag == "g" and a.get("class") == "host" and shown:
            hosts.append(a["data-host"])
Reader().feed(open(sys.argv[1], encoding="utf-8").read())
print("hosts", *hosts)
print(*rows, sep="\n")
PY
}
all=$(page "")
is "$(sed 1q <<<"$all")" "hosts 0 1 2" "all hosts"
is "$(tail -n +2 <<<"$all" | wc -l)" "$(grep -c '"row ' "$work/shop.html")" "all rows"
is "$(page "#laptop")" "\
hosts 0 2
up 90
connection 116
close 142
ended 168
across 194
across 220" "those of one host, and its peers', one below the other"
