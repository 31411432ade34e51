#!/bin/bash
# What `lonet trace` has recorded, and what it records, is the same whether or not `lonet top` watches; and nothing is recorded
# any more when it has ended.
. "$(dirname "$0")/../scenario.bash"
need python3 tmux
. "$tests/top.bash"

welcome
start server lonet run -H web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
# dialed HOST: it dials, and is gone.
dialed() {
    lonet run -H "$1" -- python3 "$work/dial.py" web 80 >"$work/dialed"
    until_true eval '! lonet ls "'"$1"'"'
}
dialers() { lonet trace | sed -nE 's/.* dial ([a-z]+):.*/\1/p' | xargs; }
lonet trace --start
dialed before
lonet trace --stop
recorded=$(lonet trace)

terminal 120 30
typed "lonet top" Enter
shows "^ web +127" "it watches"
until_true watched
dialed unseen
shows " unseen .*dial unseen:1 → web:80" "what happens is shown"
is "$(lonet trace)" "$recorded" "what was recorded before is kept"
lonet trace --start
dialed first
is "$(dialers)" first "a recording begins with what happens from then on"
kill_lonetd
dialed second
is "$(dialers)" "first second" "it goes on when lonetd was killed"
lonet trace --stop
recorded=$(lonet trace)
# What happens before lonet top has found the other lonetd may not be shown.
until_true eval 'dialed third; screen | grep -q " third .*dial third:1 → web:80"'
echo "ok: and so does lonet top"
is "$(lonet trace)" "$recorded" "a recording ends when it is stopped"
typed q
shows "^ready>" "it ends"
until_true eval '[ "$(recording)" = 0 ]'
dialed fourth
is "$(lonet trace)" "$recorded" "and nothing is recorded any more"
