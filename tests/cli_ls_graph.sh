#!/bin/bash
# `lonet ls --graph` draws who is connected to whom, as an SVG and as a text for Graphviz.
. "$(dirname "$0")/scenario.bash"

cat >"$work/stay.py" <<'PY'
import signal, socket, sys
held = [socket.create_connection(("web.lonet", 8080)) for _ in range(int(sys.argv[1]))]
for c in held:
    c.recv(1)
print("up", flush=True)
signal.pause()
PY
cat >"$work/keep.py" <<'PY'
import socket
s, held = socket.create_server(("", 8080)), []
while True:
    held.append(s.accept()[0])
    held[-1].sendall(b"!")
PY
start web lonet run -H web -- python3 "$work/keep.py"
lonet wait --timeout 60 web:8080
start one lonet run -H one -- python3 "$work/stay.py" 1
until_true grep up "$work/one"
start two lonet run -H two -- python3 "$work/stay.py" 2
until_true grep up "$work/two"

code 0 lonet ls --graph dot
is "$out" "\
digraph \"$LONET_NETWORK\" {
    node [shape=box, style=rounded, fontname=\"DejaVu Sans\"]; edge [fontname=\"DejaVu Sans\", fontsize=10];
    h0 [label=\"one\"];
    h1 [label=\"two\"];
    h2 [label=\"web\\n:8080\"];
    h0 -> h2 [label=\":8080\"];
    h1 -> h2 [label=\":8080 × 2\"];
}" "the text for Graphviz"

code 0 lonet ls --graph svg
python3 - "$work/out" <<'PY' || fail "the SVG is not what it should be: $out"
import sys, xml.etree.ElementTree as tree
svg = tree.parse(sys.argv[1]).getroot()
told = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}title")]
assert "one → web:8080" in told and "two → web:8080 × 2" in told, told
names = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}text")]
assert {"one", "two", "web"} <= set(names), names
PY
code 0 lonet ls --graph dot one
[[ $out != *two* && $out == *'h0 -> h1 [label=":8080"]'* ]] || fail "the hosts that are named, and their peers: $out"
code 0 lonet ls -n "none$$" --graph svg
like "$out" '</svg>' "a network that is not running is an empty picture"
