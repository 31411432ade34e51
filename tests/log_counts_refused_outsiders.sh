#!/bin/bash
# What another user's processes can make happen as often as they like is one line of the log at first, and counted from
# then on: connections to a host's listener, to that for foreign peers, and messages and other bytes to the control socket.
. "$(dirname "$0")/scenario.bash"

as_another_user
. "$(dirname "$0")/owners.bash"
each_owner
cat >"$work/outsider.py" <<'END'
# UID TIMES LISTENER STACK NAME: tries each door so many times, and waits each time for what comes of it.
import os, socket, struct, sys
uid, times, listener, stack, name = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
os.setgroups([]), os.setgid(uid), os.setuid(uid)
def tcp(at):
    host, port = at.rsplit(":", 1)
    s = socket.create_connection((host, int(port)))
    try:
        return s.recv(100)
    except ConnectionResetError:
        return b""
def control(message):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(b"\0" + name.encode())
    s.send(message)
    return s.recv(4000)
for _ in range(times):
    assert tcp(listener) == b"" and tcp(stack) == b""
    assert control(b"no message") == b""
    # The request that is the same in every version: down.
    assert b"not a member" in control(b"lnet\0\0" + bytes(16) + b"\1")
    assert b"another version" in control(b"lnet" + struct.pack("<H", 60000))
END
welcome
start server lonet run --host α -- "$python" "$work/server.py" 80
lonet wait --timeout 120 α:80
daemon=$(lonetd)
name=$(abstract_name "$daemon")
stack=$(ss -tlpHn | grep -F "pid=$daemon," | grep -oE '127\.[0-9]+\.255\.254:[0-9]+')
uid=${outsiders[0]}
attempts() { "$python" "$work/outsider.py" "$uid" "$1" "$(lonet addr α:80)" "$stack" "$name"; }
log() { cat "$TMPDIR/lonet/$LONET_NETWORK/log"; }

attempts 1
for line in "1 connections to the network's listeners reset: .*from 127.* to 127" \
    "1 connections to the foreign peers' listener refused: another user's process .*uid $uid" \
    "1 messages refused: no lonet messages .*uid $uid" \
    "1 messages refused: another user's process without the network's LONET_KEY .*uid $uid" \
    "1 messages refused: another version of the control protocol .*60000"; do
    like "$(log)" "$line" "the log says ${line:2:60}"
done
lines=$(log | wc -l)
attempts 200
is "$(log | wc -l)" "$lines" "and not so at once when it happens again"
is "$(lonet run --host β -- "$python" "$work/dial.py" α.lonet 80)" welcome "members come in meanwhile"
