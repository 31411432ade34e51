#!/bin/bash
# With LD_PRELOAD set and no lonet name or host involved, a program's network calls are what they are without it, and
# nothing is started.
. "$(dirname "$0")/scenario.bash"

# Listens and dials in the ways that lonet would care about, were this a host; says what it sees, but for numbers that
# the kernel chooses.
cat >"$work/program.py" <<'PY'
import socket, sys
for family, addresses in ((socket.AF_INET, ("127.0.0.1", "0.0.0.0", "127.0.0.53")), (socket.AF_INET6, ("::1", "::"))):
    for address in addresses:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert port >= 1024
        to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        client = socket.create_connection((to, port))
        accepted, peer = listener.accept()
        assert peer == client.getsockname() and client.getpeername() == accepted.getsockname()
        print(to, client.getpeername()[0], peer[0], listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
        for s in (listener, client, accepted):
            s.close()
        try:
            socket.create_connection((to, port))
        except OSError as e:
            print(e)
print(socket.getaddrinfo("localhost", 80, socket.AF_INET))
PY
# The calls that change something, with what the kernel chooses left out. (lonet looks at sockets that calls name
# without an address: that it may.)
python=$(python3 -c 'import sys; print(sys.executable)')
changing_calls() {
    sed -nE 's/(sin6?_port=htons\()[0-9]+/\1P/g; s/\([0-9]+/(FD/; s/\[[0-9]+ => /[/; s/= [0-9]+$/= N/
        /^(socket|bind|listen|connect|accept4?|setsockopt|shutdown|dup[23]?|close_range|sendto|sendmsg)\(/p' "$1"
}
strace -qq -o "$work/bare" "$python" "$work/program.py" >"$work/bare.out"
strace -qq -E "LD_PRELOAD=$library" -o "$work/loaded" "$python" "$work/program.py" >"$work/loaded.out"
is "$(<"$work/loaded.out")" "$(<"$work/bare.out")" "the program sees the same"
like "$(changing_calls "$work/bare")" 'listen' "strace sees its calls"
is "$(changing_calls "$work/loaded")" "$(changing_calls "$work/bare")" "the kernel sees the same calls"
[ ! -e "$TMPDIR/lonet" ] || fail "a network was started"
