#!/bin/bash
# A server that forbids itself socket(2) and accepts in a blocking loop lets in each dial of its network: it takes most of them
# before their connect has returned, and waits for that. Another user's connection is reset all the same.
. "$(dirname "$0")/scenario.bash"
need python3
. "$(dirname "$0")/owners.bash"

cat >"$work/server.py" <<'END'
import ctypes, errno, socket, struct
listener = socket.create_server(("", 80))
libc = ctypes.CDLL(None)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, SYS_SOCKET = 38, 22, 2, 41
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, SYS_SOCKET), (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("=H6xQ", len(rules), ctypes.addressof(code)))
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
    raise SystemExit("no sandbox")
try:
    socket.socket()
    raise SystemExit("the sandbox allows sockets")
except PermissionError:
    print("ready", flush=True)
while True:
    listener.accept()[0].sendall(b"welcome")
END
cat >"$work/dials.py" <<'END'
import collections, socket
to, heard = (socket.gethostbyname("α.lonet"), 80), collections.Counter()
for i in range(200):
    s = socket.socket()
    # Every other one does not wait in connect.
    if i % 2:
        s.setblocking(False)
    s.connect_ex(to)
    s.setblocking(True)
    try:
        heard[s.recv(7, socket.MSG_WAITALL).decode() or "closed"] += 1
    except OSError as e:
        heard[e.strerror] += 1
print(dict(heard))
END
start server lonet run --host α -- python3 "$work/server.py"
until_true grep -q ready "$work/server"
is "$(lonet run --host β -- python3 "$work/dials.py")" "{'welcome': 200}" "each dial of a host is let in"
[ "$(id -u)" = 0 ] || exit 0
is "$("${third[@]}" "$python" "$work/call.py" "$(lonet addr α:80)")" reset "another user is reset"
