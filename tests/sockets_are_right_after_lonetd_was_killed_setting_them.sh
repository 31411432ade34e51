#!/bin/bash
# lonetd is killed while it sets sockets: some still have the rate of a rule that is over, or a valve that it had shut for a
# moment of loss. The next lonetd sets all of them right as it starts, without an order.
. "$(dirname "$0")/scenario.bash"
need strace

connections=50
cat >"$work/there.py" <<'END'
import socket, sys
l = socket.create_server(("", 80), backlog=100)
print("ready", flush=True)
held = [l.accept()[0] for _ in range(int(sys.argv[1]))]
print("accepted", flush=True)
sys.stdin.read()
END
# For each line of its input it says how many of its sockets are limited, and of how many a valve is shut, as the kernel has them.
cat >"$work/here.py" <<'END'
import ctypes, socket, struct, sys
libc = ctypes.CDLL(None)
held = [socket.create_connection(("β.lonet", 80)) for _ in range(int(sys.argv[1]))]
# What has a filter of its own, which takes all, loses by its valve. Who may not give it one may not have lonetd do so either.
takes_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xFFFFFFFF))
for s in held:
    try:
        s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(takes_all)))
    except PermissionError:
        pass

def option(s, level, number):
    value, size = ctypes.c_int(), ctypes.c_uint(4)
    # SYS_getsockopt: libc's function would say what the program has set.
    assert libc.syscall(55, s.fileno(), level, number, ctypes.byref(value), ctypes.byref(size)) == 0
    return value.value

print("connected", flush=True)
for line in sys.stdin:
    limited = sum(option(s, socket.SOL_SOCKET, 47) != -1 for s in held)
    shut = sum(option(s, socket.SOL_IP, 2) == 1 or option(s, socket.SOL_IP, 21) == 255 for s in held)
    print(limited, shut, flush=True)
END
commanded 21 there lonet run --host β -- python3 "$work/there.py" $connections
lonet wait β:80
commanded 22 here lonet run --host α -- python3 "$work/here.py" $connections
until_true grep -q connected "$work/here"
until_true grep -q accepted "$work/there"
sockets() { # limited, shut
    local before
    before=$(wc -l <"$work/here")
    echo >&22
    until_true eval '[ "$(wc -l <"$work/here")" -gt '"$before"' ]'
    read -r limited shut <<<"$(tail -n 1 "$work/here")"
}

# 50 sockets are limited, then no more: it is killed half-way through the second fifty.
daemon=$(lonetd)
start strace strace -f -e trace=setsockopt -e inject=setsockopt:signal=KILL:when=$((connections * 3 / 2)) -p "$daemon"
until_true grep -q attached "$work/strace"
code 0 lonet rate 'α>β' 1MB --for 50ms
is "$out" "limited 50 connections" "all are set before"
until_true eval '! kill -0 $daemon 2>"$work/kill"'
sockets
[ "$limited" -gt 0 ] || fail "it was to be killed with sockets still limited"
lonet ls >"$work/ls"
until_true lonetd
sockets
is "$limited" 0 "the lonetd that comes next takes the rate back"
is "$(lonet faults)" "" "without a rule"

code 0 lonet loss α β 90%
until_true eval 'sockets; [ "$shut" -gt 0 ]'
kill_lonetd
sockets
[ "$shut" -gt 0 ] || fail "it was to be killed with valves shut"
code 0 lonet heal
sockets
is "$shut" 0 "no valve stays shut"
