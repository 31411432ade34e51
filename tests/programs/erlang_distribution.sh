#!/bin/bash
# Erlang nodes on three hosts, each with the epmd on 4369 that it starts itself, find each other by name and make a mesh.
# One is killed with SIGKILL: the others notice, and it joins again under its name.
. "$(dirname "$0")/../scenario.bash"
need epmd erl jq

export HOME=$work
declare -A node
# Each says when it watches, who comes, with what that node says of itself, and who goes.
# shellcheck disable=SC2016
watch='spawn(fun() -> net_kernel:monitor_nodes(true), io:format("watches~n"), (fun Watch() ->
    receive {nodeup, N} -> io:format("up ~s: ~s~n", [N, rpc:call(N, net_adm, localhost, [])]);
            {nodedown, N} -> io:format("down ~s~n", [N]) end, Watch() end)() end)'
# run_node HOST EXPRESSION
run_node() {
    start "$1" lonet run -H "$1" -- erl -noshell -noinput -setcookie secret -name "node@$1.lonet" -eval "$watch, $2."
    node[$1]=$pid
}
join='(fun Join() -> net_adm:ping('\''node@e1.lonet'\'') =:= pong orelse Join() end)()'
says() { grep -qx "$2" "$work/$1"; }
run_node e1 ok
until_true says e1 watches
run_node e2 "$join"
until_true says e1 'up node@e2.lonet: e2.lonet'
until_true says e2 watches
echo "ok: e2 joins e1, which calls it"
run_node e3 "$join"
until_true says e1 'up node@e3.lonet: e3.lonet'
until_true says e2 'up node@e3.lonet: e3.lonet'
echo "ok: e3 joins e1, and so e2"
is "$(lonet ls --json | jq -r '[.hosts[] | select(.sockets[] | .state == "listening" and .port == 4369) | .name] | unique | join(" ")')" \
    "e1 e2 e3" "each host has its epmd"

kill -KILL "${node[e3]}"
wait "${node[e3]}" 2>/dev/null || true
until_true says e1 'down node@e3.lonet'
until_true says e2 'down node@e3.lonet'
echo "ok: both notice that e3 is gone"
run_node e3 "$join"
twice() { [ "$(grep -cx 'up node@e3.lonet: e3.lonet' "$work/$1")" = 2 ]; }
until_true twice e1
until_true twice e2
echo "ok: e3 is back"

stop "${node[@]}"
# An epmd ends when it knows no node any more.
for host in e1 e2 e3; do until_true lonet run -H $host -- epmd -kill; done
