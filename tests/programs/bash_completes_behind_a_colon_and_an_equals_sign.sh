#!/bin/bash
# In an interactive bash, which splits words at ':' and '=', the Tab key completes the port of an address and the value of an
# option, and leaves what precedes it.
. "$(dirname "$0")/../scenario.bash"

welcome
start alpha lonet run -H alpha -- python3 "$work/server.py" 8080
start other lonet run -n "$LONET_NETWORK-other" -H beta -- python3 "$work/server.py" 9090
lonet wait --timeout 120 alpha:8080
lonet wait --timeout 120 -n "$LONET_NETWORK-other" beta:9090

cat >"$work/type.py" <<'PY'
"""Types each line and Tab into a bash on a terminal, and prints the line that it has then."""
import os, pty, re, select, sys, time

pid, terminal = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
seen = ""

def until(pattern):
    global seen
    deadline = time.monotonic() + 120
    while not (found := re.search(pattern, seen)):
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit(f"no {pattern} in {seen!r}")
        seen += os.read(terminal, 4096).decode()
    seen = seen[found.end():]
    return found

def send(text):
    os.write(terminal, text.encode())

send("PS1= ; bind 'set enable-bracketed-paste off'; stty columns 500; HISTFILE=\n")
send("source <(lonet completions bash); bind -x '\"\\C-x\": printf \"LINE%s\" \"<$READLINE_LINE>\"'; echo rea''dy\n")
until("ready")
for line in sys.argv[1:]:
    send(line + "\t\x18")
    print(until("LINE<([^>]*)>")[1].rstrip())
    send("\x05\x15")
send("exit\n")
PY
typed() { python3 "$work/type.py" "$@"; }
is "$(typed "lonet addr alpha:8" "lonet addr alpha:" "lonet addr al" "lonet explain alpha alpha:80" "lonet wait alpha:8080 alpha:8")" "\
lonet addr alpha:8080
lonet addr alpha:8080
lonet addr alpha:8080
lonet explain alpha alpha:8080
lonet wait alpha:8080 alpha:8080" "ports"
is "$(typed "lonet ls --network=$LONET_NETWORK-o" "lonet addr --network=$LONET_NETWORK-other beta:9" "lonet run --loopback=r")" "\
lonet ls --network=$LONET_NETWORK-other
lonet addr --network=$LONET_NETWORK-other beta:9090
lonet run --loopback=real" "values of options"
