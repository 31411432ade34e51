#!/bin/bash
# `lonet trace` draws a trace as a sequence chart: as an SVG, as a page, and as a text for Mermaid.
. "$(dirname "$0")/scenario.bash"

trace=$tests/traces/shop.jsonl
code 0 lonet trace --from "$trace" --svg "$work/shop.svg" --html "$work/shop.html" --mermaid "$work/shop.mmd"
is "$out$err" "" "three files at once"
python3 - "$work/shop.svg" <<'PY' || fail "the SVG is not what it should be"
import sys, xml.etree.ElementTree as tree
space = "{http://www.w3.org/2000/svg}"
svg = tree.parse(sys.argv[1]).getroot()
names = [t.text for t in svg.iter(space + "text") if t.get("class") == "name"]
assert names == ["web", "web", "db", "db", "laptop", "laptop"], names
def rows(kind):
    return [g for g in svg.iter(space + "g") if g.get("class") == "row " + kind]
assert len(rows("connection")) == 2 and len(rows("failed")) == 2, "arrows"
assert len(rows("close")) == 2 and len(rows("reset")) == 1 and len(rows("killed")) == 1, "ends"
assert len([g for g in svg.iter(space + "g") if g.get("class") == "fault"]) == 1, "the fault"
told = rows("connection")[0].find(space + "title").text.split("\n")
assert [line.split()[3] for line in told] == ["dial", "connected", "accepted"], told
PY
is "$(sed -n '1,5p' "$work/shop.mmd")" "\
sequenceDiagram
    participant h0 as web
    participant h1 as db
    participant h2 as laptop
    Note over h0: python3 4711" "the text for Mermaid"
grep -q 'h0-xh1: 2 → 5432 refused' "$work/shop.mmd" || fail "a refused dial: $(<"$work/shop.mmd")"
if grep -oE '(src|href)=[^ >]*|[^c]url[(][^)]*' "$work/shop.html"; then fail "the page needs something else"; fi

out=$(lonet trace --from - --mermaid - laptop <"$trace")
[[ $out == *laptop* && $out != *"as db"* ]] || fail "the host that is named, and its peers: $out"
for form in --svg --html --mermaid; do
    code 1 lonet trace --from "$trace" $form - web lapotp
    is "$out/$err" '/lonet: the trace has no events of "lapotp"; it has those of: db, laptop, web' "$form of a mistyped host"
done
code 0 lonet trace --from "$trace"
is "$(head -n 1 <<<"$out")" "14:00:00.001200 web python3(4711) joined" "without a picture, its text"
is "$(wc -l <<<"$out")" 34 "all of it"
code 0 lonet trace --from "$trace" --format jsonl
is "$out" "$(<"$trace")" "or its JSON"
code 1 lonet trace --from "$work/none" --svg -
like "$err" '^lonet: cannot read .*none: No such file' "a trace that is not there"
code 1 lonet trace --from "$trace" --svg "$work/none/x.svg"
like "$err" '^lonet: cannot write to .*none/x.svg: No such file' "a place where nothing can be written"
