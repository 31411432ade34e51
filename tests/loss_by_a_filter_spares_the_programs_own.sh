#!/bin/bash
# Who may give TCP sockets filters loses each segment by itself: the sockets get a filter each, and lose it with the rule, also if
# lonetd is killed meanwhile. A filter of the program's own stays.
. "$(dirname "$0")/scenario.bash"

# Says how many instructions the filter of each of its sockets has.
cat >"$work/there.py" <<'END'
import ctypes, socket, struct, sys
l = socket.create_server(("", 80))
print("ready", flush=True)
c = [l.accept()[0] for _ in range(2)]
# One instruction: takes all.
own = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xffffffff))
try:
    c[1].setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(own)))
    print("accepted", flush=True)
except PermissionError:
    print("denied", flush=True)
for line in sys.stdin:
    print(*(len(s.getsockopt(socket.SOL_SOCKET, 26, 400)) for s in c), flush=True)
END
cat >"$work/here.py" <<'END'
import socket, sys
c = [socket.create_connection(("β.lonet", 80)) for _ in range(2)]
print("connected", flush=True)
sys.stdin.read()
END
commanded 21 there lonet run --host β -- python3 "$work/there.py"
lonet wait β:80
commanded 22 here lonet run --host α -- python3 "$work/here.py"
until_true grep -q connected "$work/here"
until_true grep -q -e accepted -e denied "$work/there"
if grep -q denied "$work/there"; then
    echo "skipped: this user may give no TCP socket a filter"
    exit 0
fi
filters() {
    local before
    before=$(wc -l <"$work/there")
    echo >&21
    until_true eval '[ "$(wc -l <"$work/there")" -gt '"$before"' ]'
    tail -n 1 "$work/there"
}
is "$(filters)" "0 1" "the second socket has one of the program's"
code 0 lonet loss 'α>β' 5%
is "$(filters)" "4 1" "the first one loses by itself"
kill_lonetd
code 0 lonet loss 'α>β' 10%
is "$(filters)" "4 1" "and does so by another rule"
code 0 lonet heal
is "$(filters)" "0 1" "after heal only the program's is there"
code 0 lonet loss 'α>β' 5% --for 1h
kill_lonetd
code 0 lonet heal
is "$(filters)" "0 1" "whatever lonetd has been killed"
