#!/bin/bash
# A lonetd that is killed in the midst of a line of the trace is followed by one that goes on behind it: what reads the trace
# passes over the half line, wherever it is.
. "$(dirname "$0")/scenario.bash"
welcome

trace=$work/lonet/$LONET_NETWORK/trace
code 0 lonet trace --start
start web lonet run --host web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
dial() { lonet run --host laptop -- python3 "$work/dial.py" web.lonet 80 >/dev/null; }
dial
until_true eval 'lonet trace | grep -q "laptop host_down"'
start follow lonet trace --follow --since start
follow=$pid
until_true grep -q "laptop host_down" "$work/follow"
# Who follows starts the next lonetd at once, which is to find the half line.
kill -STOP "$follow"
kill_lonetd
printf '{"seq":1000000,"time":"2026-11-29T14:00:00.123456Z","event":"dial","host":"\xce' >>"$trace"
cp "$trace" "$work/cut"
kill -CONT "$follow"
# Dials of hosts that are up do not need a lonetd, this one's start does.
dial
until_true eval '[ "$(lonet trace | grep -c "laptop host_down")" = 2 ]'

count() { grep -c ' connected laptop:1 → web:80' || true; }
is "$(lonet trace | count)" 2 "the trace has both dials"
is "$(lonet trace --format jsonl | python3 -c 'import json, sys; print(len([*map(json.loads, sys.stdin)]) > 4)')" True "its JSON is whole"
cp "$trace" "$work/midst"
is "$(lonet trace --from "$work/midst" | count)" 2 "so has a copy with the half line in its midst"
is "$(lonet trace --from "$work/cut" | count)" 1 "and one that ends with it"
code 0 lonet trace --svg "$work/chart.svg"
code 0 lonet trace --from "$work/midst" --svg "$work/chart.svg"
expected=(-e 'laptop dial laptop:1 -> web:80' -e 'laptop dial laptop:1 -> web:80')
code 0 lonet expect --trace "$work/midst" "${expected[@]}"
code 0 lonet expect "${expected[@]}"
until_true eval '[ "$(count <"$work/follow")" = 2 ]'
is "$(grep -c 1000000 "$work/follow" || true)" 0 "who follows it has no half line"
is "$(lonet trace --format jsonl | jq -s '[.[1:][] | [.seq, .event]] | length == (unique | length)')" true "no event is there twice"
stop "$follow"
