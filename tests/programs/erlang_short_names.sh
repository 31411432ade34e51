#!/bin/bash
# Erlang nodes with short names (-sname), which are names without a domain, find each other on hosts of those names.
. "$(dirname "$0")/../scenario.bash"
need epmd erl

export HOME=$work
# Whatever domains the machine's resolv.conf has searched.
export LOCALDOMAIN=lonet
start beta lonet run -H beta -- erl -noshell -noinput -setcookie secret -sname b -eval 'io:format("~s~n", [node()]).'
until_true grep -qx b@beta "$work/beta"
ping='io:format("~s: ~s ~s", [node(), net_adm:ping(b@beta), rpc:call(b@beta, erlang, node, [])]), halt().'
is "$(lonet run -H alpha -- erl -noshell -noinput -setcookie secret -sname a -eval "$ping")" "a@alpha: pong b@beta" \
    "alpha's node reaches beta's"

stop "$pid"
# An epmd ends when it knows no node any more.
for host in alpha beta; do until_true lonet run -H $host -- epmd -kill; done
