#!/bin/bash
# A dial whose connection has ended in the kernel while its program keeps the descriptor, as after ETIMEDOUT, leaves its
# addresses to whoever binds them next. Another user who connects from there before the dial is accepted is not taken for
# its host, also if that connection has ended before it is accepted; the dial itself is accepted under its host's name.
. "$(dirname "$0")/scenario.bash"
need python3 ss
as_another_user

cat >"$work/serve.py" <<'END'
import socket, sys
s = socket.create_server(("", 80))
s.setblocking(False)
print("ready", flush=True)
for line in sys.stdin:
    accepted = []
    while True:
        try:
            c, peer = s.accept()
        except ConnectionAbortedError:
            continue
        except BlockingIOError:
            break
        try:
            sent = c.recv(8).decode()
        except OSError:
            sent = "nothing"
        accepted.append(socket.getnameinfo(peer, 0)[0] + " sent " + sent)
    print(", ".join(accepted) or "nobody", flush=True)
END
# Dials when it is started, and at a line sends more than the other end has room for, until its connection has timed out.
cat >"$work/dial.py" <<'END'
import select, socket, sys
s = socket.create_connection(("α.lonet", 80))
print("connected", flush=True)
sys.stdin.readline()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
s.setblocking(False)
try:
    while True:
        s.send(b"member  " * 10000)
except BlockingIOError:
    pass
poll = select.poll()
poll.register(s, 0)
poll.poll()
print("over", s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True)
sys.stdin.read()
END
# As another user, connects from the address FROM to TO, sends a word, and at a line resets the connection.
cat >"$work/take.py" <<'END'
import os, socket, struct, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
at = lambda a: (a.split(":")[0], int(a.split(":")[1]))
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.bind(at(sys.argv[1]))
s.connect(at(sys.argv[2]))
s.send(b"outsider")
print("connected", flush=True)
sys.stdin.readline()
s.close()
print("gone", flush=True)
END

serve_commanded python3 "$work/serve.py"
# has_timed_out: host beta has a dial that waits to be accepted, and whose connection has timed out; it came from $source.
has_timed_out() {
    commanded 8 dialer lonet run --host beta -- python3 "$work/dial.py"
    dialer=$pid
    until_true grep -q connected "$work/dialer"
    source=$(ss -Htn state established "dst $os" | awk '{ print $3 }')
    echo >&8
    until_true grep -q "^over 110" "$work/dialer"
}
has_ended() {
    exec 8>&-
    wait "$dialer" || fail "the dialer has failed: $(<"$work/dialer")"
}
outsider() {
    commanded 9 outsider python3 "$work/take.py" "$1" "$os"
    outsider=$pid
}
until_connected() { until_true grep -q connected "$work/outsider"; }
until_gone() {
    echo >&9
    until_true grep -q gone "$work/outsider"
    wait "$outsider"
}
has_begun() { grep -q connected "$work/outsider" || [ -n "$(ss -Htn state syn-sent "src $source dst $os")" ]; }

has_timed_out
accepts "beta.lonet sent member  " "a dial that has timed out is accepted under its host's name"
has_ended

has_timed_out
outsider "${source%:*}:$((${source#*:} ^ 1))"
until_connected
accepts "beta.lonet sent member  " "and an outsider who connects from another port of that address is not"
until_gone
has_ended

has_timed_out
outsider "$source"
until_connected
accepts nobody "an outsider who connects from the dial's own port is not accepted under its name"
until_gone
has_ended

has_timed_out
outsider "$source"
until_connected
until_gone
accepts "beta.lonet sent member  " "nor one whose connection has ended by then: the dial is accepted, once"
has_ended

has_timed_out
outsider "$source"
until_true has_begun
accepts nobody "nor is one who connects while the dial's end is accepted"
until_connected
until_gone
accepts nobody "and whose connection has ended when it is accepted itself"
has_ended
server_ends
