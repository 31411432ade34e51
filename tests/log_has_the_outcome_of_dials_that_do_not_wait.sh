#!/bin/bash
# LONET_LOG: a dial that does not wait is logged with the outcome that the kernel knows already, and with the reason of a refusal.
# SO_ERROR is logged with what the program gets. A port that the kernel has chosen for a refused dial is not shown.
. "$(dirname "$0")/scenario.bash"
need curl python3

start α lonet run -H α -- python3 -c '
import socket, signal
s = socket.create_server(("127.0.0.1", 5000)); t = socket.create_server(("", 80)); signal.pause()'
until_true lonet wait --timeout 1 α:80
export LONET_LOG=$work/why
who='[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} γ [a-z]+[.0-9]*\([0-9]+\)'
# has CALL RESULT: the line
has() { like "$(<"$work/why")" "(^|"$'\n'")$who $1: $2("$'\n'"|\$)" "$1: $2"; }

code 7 lonet run -H γ -- curl -s http://α.lonet:5000/
has "connect → α:5000" "refused: α:5000 listens on α's loopback only"
has "getsockopt no address" "refused: the outcome of the dial"

: >"$work/why"
code 0 lonet run -H γ -- python3 -c '
import errno, select, socket
def dial(name, port):
    s = socket.socket()
    s.setblocking(False)
    assert s.connect_ex((name, port)) == errno.EINPROGRESS
    select.select([], [s], [])
    s.getsockname()
    return s, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
made = dial("α.lonet", 80)
assert made[1] == 0
assert dial("α.lonet", 6000)[1] == errno.ECONNREFUSED
assert dial("localhost", 6000)[1] == errno.ECONNREFUSED'
has "connect → α:80" "done"
has "getsockname γ:1" "done"
has "getsockopt γ:1" "done"
has "connect → α:6000" "refused: α:6000 has no listener"
has "connect → localhost:6000" "refused: localhost:6000 has no listener"
has "getsockname no address" "done"
is "$(grep -c "under way" "$work/why" || true)" 0 "nothing is under way"
