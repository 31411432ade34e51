#!/bin/bash
# `lonet run --trace FILE`: what happens until the program ends, its end included; the program ends as it would without it. A
# lonetd that is killed loses nothing that was written into the table.
. "$(dirname "$0")/scenario.bash"
welcome

start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
code 0 lonet run --host β --trace "$work/trace" -- python3 "$work/dial.py" α.lonet 80
is "$out" welcome "the program's own output"
events() { grep -oE '"event":"[a-z_]*","host":"[^"]*"' "$work/trace" | sed -E 's/"event":"|"host":"|"//g; s/,/ /'; }
like "$(head -1 "$work/trace")" '^\{"lonet_trace":1,"network":"'"$LONET_NETWORK"'",' "the file begins with its header"
# Its host's end may be seen before its own.
is "$(events | grep β | grep -v 'name_\|host_down')" "host_up β
joined β
dial β
connected β
closed β
ended β" "and has the program's life"
is "$(grep -c '"status":{"exit":0}' "$work/trace")" 1 "with its status"
code 3 lonet run --host β --trace "$work/trace" -- bash -c 'exit 3'
echo "ok: the exit code is the program's"
code 143 bash -c "lonet run --host β --trace $work/trace -- bash -c 'kill \$\$'; exit \$?"
like "$(tail -2 "$work/trace")" '"status":\{"signal":"SIGTERM"\}' "and so is a signal"
code 125 lonet run --host β --trace "$work/no/such" -- true
like "$err" "cannot write the trace to $work/no/such" "a file that cannot be written is said before anything runs"

code 0 lonet trace --start
dial() { lonet run --host β -- python3 "$work/dial.py" α.lonet 80 >"$work/said"; }
dial
daemon=$(lonetd)
kill_lonetd
dial
count() { lonet trace | grep -c "$1 β:1 → α:80"; }
all_are_there() { [ "$(count connected)" = 2 ] && [ "$(count closed)" = 4 ]; }
until_true all_are_there
echo "ok: the trace goes on when lonetd was killed"
seqs=$(lonet trace --format jsonl | grep -oE '^\{"seq":[0-9]+')
is "$(sort -u <<<"$seqs" | wc -l)" "$(wc -l <<<"$seqs")" "and no event is in it twice"
