#!/bin/bash
# A dial whose way is known already is asked for once, if lonetd does not say what it makes of it, and then fails: no call
# takes longer than an answer may. When lonetd goes on nothing is left of the dial.
. "$(dirname "$0")/scenario.bash"
need strace

cat >"$work/dial.py" <<'END'
import os, signal, socket, sys
to = (socket.gethostbyname("α.lonet"), 80)
known = [socket.create_connection(to) for _ in range(2)]
lonetd = int(sys.argv[1])
os.kill(lonetd, signal.SIGSTOP)
late = socket.socket()
try:
    os.access("the dial begins", 0)
    print(os.strerror(late.connect_ex(to)))
    os.access("the dial ends", 0)
finally:
    os.kill(lonetd, signal.SIGCONT)
print([s.getsockname()[1] for s in known], socket.create_connection(to).getsockname()[1])
END
start_self_dialer
lonet run --host β -- strace -o "$work/trace" python3 "$work/dial.py" "$daemon" >"$work/said"
is "$(<"$work/said")" $'Network is down\n[1, 2] 3' "the dial fails, and its port is the next one's"
is "$(sed -n '/the dial begins/,/the dial ends/p' "$work/trace" | grep -c SEQPACKET)" 1 "one question"
