#!/bin/bash
# A library and a lonetd that speak different versions of the control protocol say so and refuse, both ways; but a
# network is ended by `lonet down` of any version.
. "$(dirname "$0")/scenario.bash"

# A daemon of another version, which hears a request and answers in its own words.
cat >"$work/other_daemon.py" <<'PY'
import os, socket, sys
os.makedirs(sys.argv[1], 0o700)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1] + "/control")
listener.listen()
print("up", flush=True)
while True:
    caller, _ = listener.accept()
    # Who asks nothing wants to know whose process this is.
    if caller.recv(4096):
        caller.sendall(b"lnet" + (77).to_bytes(2, "little") + b"some other words")
PY
mkdir -m 1777 "$TMPDIR/lonet"
start other python3 "$work/other_daemon.py" "$TMPDIR/lonet/$LONET_NETWORK"
until_true grep up "$work/other"
text="lonetd \\(pid $pid, [^ ]*python[^ ]*\\) speaks version 77 of lonet's protocol, and this command \\([^ ]*/lonet, lonet [0-9.]+\\) version [0-9]+: \`lonet down --kill\` ends the network"
for command in "ls" "addr α:1" "wait α:1"; do
    code 1 lonet $command
    like "$err" "^lonet: network \"$LONET_NETWORK\": $text" "lonet $command: $err"
done
code 125 lonet run -H α -- echo ran
like "$err" "$text" "lonet run: $err"
dial='import socket
try: socket.create_connection(("α.lonet", 80))
except OSError as e: print(e.__class__.__name__)'
is "$(LONET_LOG=$work/log LD_PRELOAD=$library python3 -c "$dial")" gaierror "a program's calls fail"
like "$(<"$work/log")" "lonetd speaks version 77 of lonet's protocol, and this program's liblonet.so version [0-9]+: end the network" "the log of the library says why"
code 1 lonet down
like "$err" "^lonet: lonetd \(pid $pid\) speaks version 77 .*: use its own release's \`lonet down\`" "lonet down: $err"
stop "$pid"
rm -r "$TMPDIR/lonet"

# A program of another version.
cat >"$work/other_program.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1] + "/control")
s.sendall(b"lnet" + (77).to_bytes(2, "little") + b"some other words")
answer = s.recv(4096)
print(answer[:4].decode(), int.from_bytes(answer[4:6], "little") != 77, b"version" in answer)
PY
start host lonet run -H α -- sleep 1000
until_true grep -x sleep "/proc/$pid/comm"
is "$(python3 "$work/other_program.py" "$TMPDIR/lonet/$LONET_NETWORK")" "lnet True True" "lonetd answers in its own version"
is "$(lonet ls --json | jq -r '.hosts[].name')" α "and goes on"

# The request of `lonet down` as every version sends it, without the key that another user's process would need.
cat >"$work/down.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1] + "/control")
s.sendall(b"lnet" + bytes(2) + bytes(16) + bytes([sys.argv[2] == "kill"]))
answer = s.recv(4096)
errno, length = int.from_bytes(answer[6:10], "little"), int.from_bytes(answer[10:12], "little")
print(answer[:6], errno, answer[12:].decode() if len(answer) == 12 + length else "odd")
PY
is "$(python3 "$work/down.py" "$TMPDIR/lonet/$LONET_NETWORK" ask)" \
    "b'lnet\x00\x00' 16 network \"$LONET_NETWORK\" is in use by sleep (pid $pid)" "a busy network says so in any version"
is "$(python3 "$work/down.py" "$TMPDIR/lonet/$LONET_NETWORK" kill)" "b'lnet\x00\x00' 0 " "and is ended in any"
until_true ended "$pid"
is "$(ls "$TMPDIR/lonet")" "" "nothing is left of it"
