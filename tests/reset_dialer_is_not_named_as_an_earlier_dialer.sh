#!/bin/bash
# A host has called a listener that ended before it accepted. Another user's connection from the same address, which is
# reset while it waits, is not taken for that call by the listener after it: also not by one that knew a lonetd before.
. "$(dirname "$0")/scenario.bash"

as_another_user
hear_when_told
cat >"$work/dial.py" <<'END'
import socket, sys
s = socket.create_connection(("α.lonet", 80))
s.sendall(b"from a member")
print("dialed", flush=True)
sys.stdin.read()
END
cat >"$work/call.py" <<'END'
# call.py FROM TO: another user's, which says something and is reset.
import os, socket, struct, sys
at = lambda text: (text.rsplit(":", 1)[0], int(text.rsplit(":", 1)[1]))
os.setuid(65534)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(at(sys.argv[1]))
s.connect(at(sys.argv[2]))
s.sendall(b"from an outsider")
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
END
serve() {
    commanded 7 server lonet run --host α -- python3 "$work/next.py"
    server=$pid
    until_true grep -q ready "$work/server"
    os=$(lonet addr α:80)
}

dial() {
    commanded 8 dialed lonet run --host β -- python3 "$work/dial.py"
    dialer=$pid
    until_true grep -q dialed "$work/dialed"
}

# try WHAT: after the death of a listener that did not accept, and of who had called it.
try() {
    serve
    dial
    from=$(ss -tnH state established dst "$os" | awk '{print $3}')
    kill -KILL "$server"
    until_true eval '! ss -tnlH src "$os" | grep -q .'
    kill -KILL "$dialer"
    until_true eval '! ss -tanH src "$from" | grep -q .'
    if [ "$1" = "with another lonetd" ]; then kill_lonetd; fi
    serve
    if [ "$1" = "with another lonetd, too" ]; then kill_lonetd && lonet ls >/dev/null; fi
    python3 "$work/call.py" "$from" "$os" 7>&- 8>&-
    dial
    echo next >&7
    until_true eval '[ "$(wc -l <"$work/server")" -ge 2 ]'
    is "$(tail -n 1 "$work/server")" "from a member" "$1: who is accepted"
    kill -KILL "$server" "$dialer"
    until_true eval '! ss -tnlH src "$os" | grep -q .'
}

try "with one lonetd"
try "with another lonetd"
try "with another lonetd, too"
