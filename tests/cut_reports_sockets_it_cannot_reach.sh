#!/bin/bash
# Faults: names that no host has, a network that does not run, and processes that lonetd cannot reach.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for command in "cut α" "heal α" heal faults; do
    # shellcheck disable=SC2086
    code 1 lonet $command
    like "$err" "^lonet: network \"$LONET_NETWORK\" is not running" "$command: the network does not run"
done
node α
node β
code 1 lonet cut α γ
is "$err" "lonet: no host \"γ\" is up in network $LONET_NETWORK; up are: α, β" "a host that is not up"
code 1 lonet cut 'α,δ>β,γ'
is "$err" "lonet: no host \"δ\", \"γ\" is up in network $LONET_NETWORK; up are: α, β" "several"
code 1 lonet cut α α
is "$err" "lonet: faults are between different hosts: what a host sends to itself always arrives" "a host from itself"
code 1 lonet cut 'α>β' α
is "$err" "lonet: after a>b no other hosts can be named" "a direction and other hosts"
code 1 lonet cut α, β
is "$err" "lonet: \"α,\" contains an empty host name" "an empty name"
code 1 lonet heal α β
is "$err" "lonet: there is no such rule" "nothing to heal"
code 0 lonet faults
is "$out" "" "nothing was changed"
if [ "$(id -u)" = 0 ]; then
    # A member with another user id, where it can execute lonet.
    member=(lonet run --host α -- setpriv --reuid 65534 --regid 65534 --clear-groups lonet)
    if "${member[@]}" --version >/dev/null 2>&1; then
        code 1 "${member[@]}" cut α β
        is "$err" "lonet: faults are for the network's owner to make" "a member that is another user"
    fi
    echo "root reaches every process: what follows is skipped"
    exit 0
fi

# A process that may not be traced, at both ends.
cat >"$work/hidden.py" <<'PY'
import ctypes, signal, socket, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
if sys.argv[1] == "listen":
    s = socket.create_server(("", 80))
    print("listens", flush=True)
    c = s.accept()[0]
else:
    c = socket.create_connection((sys.argv[1], 80))
    print("connected", flush=True)
signal.pause()
PY
start hidden lonet run --host ε -- python3 "$work/hidden.py" listen
hidden=$pid
until_true grep -q listens "$work/hidden"
start dialer lonet run --host ζ -- python3 "$work/hidden.py" ε.lonet
until_true grep -q connected "$work/dialer"
until_true eval 'lonet ls | grep -q "ε:80 .*ζ:"'
why="it may not be traced" scope=$(cat /proc/sys/kernel/yama/ptrace_scope 2>"$work/scope" || echo 0)
[ "$scope" -lt 2 ] || why="the kernel forbids it \(kernel.yama.ptrace_scope is $scope\)"
code 1 lonet cut ε ζ
like "$err" "^lonet: cut 0 connections; 1 connection may still pass, as neither end can be reached: .*python3 \(pid $hidden\): $why" \
    "processes that cannot be reached are named"
code 0 lonet heal ε ζ
is "$out" "healed 0 connections" "heal does not speak of a connection that was never cut"

# One that was made during a fault has been set by its process.
code 1 lonet loss ε ζ 1%
start dialer2 lonet run --host ζ -- python3 "$work/hidden.py" ε.lonet
until_true grep -q connected "$work/dialer2"
code 1 lonet heal ε ζ
like "$err" "^lonet: healed 0 connections; 1 connection may stay cut" "but of one that was made during the fault"

if [ "$scope" -ge 2 ]; then
    echo "no process can be reached here: what follows is skipped"
    exit 0
fi
# One end is enough.
tell α dial c ε.lonet 80
tell α made c
code 0 lonet cut ε α
is "$out" "cut 1 connection" "a process that can be reached is enough"
is "$(lonet faults --json | jq -c .connections)" '{"both":0,"one":1,"none":0}' "faults says at how many ends"
tell α send c lost
tell α lost c
code 0 lonet heal
