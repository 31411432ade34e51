#!/bin/bash
# A program asks lonetd once for the name of a host that is up, and has its answer from then on also while lonetd is
# stopped. Who may not have an old answer asks: with LONET_NAMES=strict, and a child of a fork, which becomes a member so.
. "$(dirname "$0")/scenario.bash"

cat >"$work/resolve.py" <<'END'
# Says the address of each name on stdin, behind "fork" in a child.
import os, socket, sys
for line in sys.stdin:
    *fork, name = line.split()
    pid = os.fork() if fork else 0
    if pid == 0:
        try:
            print(socket.gethostbyname(name), flush=True)
        except OSError as e:
            print(e.strerror, flush=True)
        if fork:
            os._exit(0)
    else:
        os.waitpid(pid, 0)
END
# resolver N [VARIABLE…]: a program that is asked by `to N`, and answers in $work/outN.
resolver() {
    mkfifo "$work/in$1"
    lonet run --host "resolver-$1" -- env "${@:2}" python3 "$work/resolve.py" <"$work/in$1" >"$work/out$1" 2>&1 &
    started+=("$!")
    eval "exec $1>\"$work/in$1\""
}
to() { echo "${*:2}" >&"$1"; }
# answers N ADDRESS…
answers() { [ "$(<"$work/out$1")" = "$(printf '%s\n' "${@:2}")" ]; }

welcome
start server lonet run --host beta -- python3 "$work/server.py" 80
lonet wait --timeout 120 beta:80
daemon=$(lonetd)
ip=$(lonet addr beta:80)
ip=${ip%:*}
resolver 7
resolver 8 LONET_NAMES=strict
to 7 beta.lonet
to 8 beta.lonet
until_true answers 7 "$ip"
until_true answers 8 "$ip"

stop_lonetd
to 7 beta.lonet
until_true answers 7 "$ip" "$ip"
if waits; then fail "lonetd is asked"; fi
echo "ok: what was answered once is not asked again"

to 8 beta.lonet
until_true waits
kill -CONT "$daemon"
until_true answers 8 "$ip" "$ip"
echo "ok: with strict names it is"

stop_lonetd
to 7 fork beta.lonet
until_true waits
kill -CONT "$daemon"
until_true answers 7 "$ip" "$ip" "$ip"
echo "ok: and by a child of a fork"
exec 7>&- 8>&-
