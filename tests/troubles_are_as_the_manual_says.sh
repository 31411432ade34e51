#!/bin/bash
# What goes wrong for a user, and what lonet(1), "TROUBLESHOOTING", has him do about it.
. "$(dirname "$0")/scenario.bash"
need curl python3

section=$(sed -n '/^\.Sh TROUBLESHOOTING/,/^\.Sh SEE/p' "$tests/../man/lonet.1")
# told LINE: the page has it.
told() { grep -qxF ".Ql \"$1\"" <<<"$section" || grep -qxF ".Ql \"$1\" ," <<<"$section" || fail "the page does not have \"$1\""; }
export XDG_STATE_HOME=$work/state
cd "$work"
client() { lonet run --host client -- curl -sS --max-time "${2:-20}" "http://$1/"; }

told "lonet run --host web --ready 80 -- PROGRAM"
code 1 lonet run --host web --ready 80 -- python3 -c 'import sys; sys.exit("no such file")'
like "$err" "no such file$" "a server that does not start: the end of its output"
told "lonet logs web"
code 0 lonet logs web
like "$out" "no such file" "and all of it"

start web lonet run --host web -- python3 -m http.server --bind 127.0.0.1 80
lonet wait --loopback web:80
code 125 lonet run --host web --ready 80 -- python3 -m http.server 80
is "$err" "lonet: something already listens on web:80" "a port that is taken"
told "lonet ls web"
code 0 lonet ls web
like "$out" "web:80 .*python3? ?.*\(pid [0-9]+\)" "who has it"
code 7 client web.lonet
told "lonet explain client web:80"
start client lonet run --host client -- sleep 1000
until_true eval 'lonet ls | grep -q ^client'
code 1 lonet explain client web:80
like "$out" "only on web's loopback" "connection refused: it listens on its loopback"

code 7 client wbe.lonet
told "lonet ls"
code 0 lonet ls
like "$out" "^client .*"$'\n'"web " "no route to host: the hosts that are up"
code 6 curl -sS http://web.lonet/
told "lonet addr web:80"

start api lonet run --host api -- python3 -m http.server 80
lonet wait api:80
lonet pause api >"$work/said"
code 28 client api.lonet 0.5
code 0 lonet explain client api:80
like "$out" "that process is stopped" "a connection hangs: the server is stopped"
lonet resume api >"$work/said"
code 0 client api.lonet
lonet cut client api >"$work/said"
code 28 client api.lonet 0.5
told "lonet faults"
code 0 lonet faults
like "$out" "lonet cut client api" "a connection hangs: it is cut"
told "lonet heal"
lonet heal >"$work/said"
code 0 client api.lonet
