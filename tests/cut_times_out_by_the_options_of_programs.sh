#!/bin/bash
# TCP gives up during a cut as its options say: TCP_USER_TIMEOUT, keepalive, and a close that the other end learns of after heal.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

node α
node β
tell β listen 80
connect α β
tell α option c 6 18 300
code 0 lonet cut α β
tell α send c lost
tell α wait c
is "$answer" ETIMEDOUT "TCP_USER_TIMEOUT ends a connection that is not heard of"
code 0 lonet heal

connect α β
for option in "1 9 1" "6 4 1" "6 5 1" "6 6 2"; do
    # shellcheck disable=SC2086
    tell α option c $option
done
code 0 lonet cut α β
tell α wait c
is "$answer" ETIMEDOUT "and so does keepalive"
code 0 lonet heal

connect α β
code 0 lonet cut α β
tell α send c last-words
tell α lost c
tell α close c
tell β now c
is "$answer" nothing "a close is not heard of"
code 0 lonet heal
tell β wait c
is "$answer" last-words "after heal it is, with what was sent before"
tell β wait c
is "$answer" end "and the end"

# With a process that has died its end has gone: the other one is opened for what the kernel still sends.
connect α β
code 0 lonet cut α β
tell β send c unheard
tell β lost c
tell α send c dying
tell α lost c
stop "${node_pid[α]}"
tell β now c
is "$answer" nothing "a death is not heard of"
code 0 lonet heal
tell β wait c
like "$answer" "^(dying|ECONNRESET)$" "after heal it is"
