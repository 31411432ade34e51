#!/bin/bash
# A library and a lonetd that speak different versions of the control protocol say so and refuse, both ways.
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
    caller.recv(4096)
    caller.sendall(b"lnet" + (77).to_bytes(2, "little") + b"some other words")
PY
mkdir -m 1777 "$TMPDIR/lonet"
start other python3 "$work/other_daemon.py" "$TMPDIR/lonet/$LONET_NETWORK"
until_true grep up "$work/other"
text='lonetd speaks version 77 of the control protocol, this program version [0-9]+: end the network'
for command in "ls" "addr α:1" "wait α:1"; do
    code 1 lonet $command
    like "$err" "^lonet: $text" "lonet $command: $err"
done
code 125 lonet run -H α -- echo ran
like "$err" "$text" "lonet run: $err"
dial='import socket
try: socket.create_connection(("α.lonet", 80))
except OSError as e: print(e.__class__.__name__)'
is "$(LONET_LOG=$work/log LD_PRELOAD=$library python3 -c "$dial")" gaierror "a program's calls fail"
like "$(<"$work/log")" "$text" "the log of the library says why"
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
until_true [ -e "$TMPDIR/lonet/$LONET_NETWORK/control" ]
is "$(python3 "$work/other_program.py" "$TMPDIR/lonet/$LONET_NETWORK")" "lnet True True" "lonetd answers in its own version"
is "$(lonet ls --json | jq -r '.hosts[].name')" α "and goes on"
