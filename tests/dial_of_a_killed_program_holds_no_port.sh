#!/bin/bash
# A program that lonetd has not heard of since is killed with a connection: the next program that dials from its host has
# lonetd look, and gets the port that is free by that. Also where nobody has waited for the killed one, which is still there.
. "$(dirname "$0")/scenario.bash"
need ss

cat >"$work/parent.py" <<'END'
import os, signal, sys
child = os.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
print("child", child, flush=True)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ended", flush=True)
signal.pause()
END
start_self_dialer
# dials N: what is written to descriptor N makes it dial. Its port is the last line of $work/outN.
dials() {
    local n=$1 lines
    # shellcheck disable=SC2034 # used below, by eval
    lines=$(wc -l <"$work/out$n")
    echo >&"$n"
    until_true eval '[ "$(wc -l <"$work/out$n")" -gt "$lines" ]'
}
for how in "waited for" "not waited for"; do
    [ "$how" = "waited for" ] && parent=() || parent=(python3 "$work/parent.py")
    dialer 8 "${parent[@]}"
    dialer 9
    stop_lonetd
    dials 8
    is "$(tail -n 1 "$work/out8")" 1 "it dials without lonetd"
    killed=$(awk '$1 == "child" { print $2 }' "$work/out8")
    kill -KILL "${killed:-${dialers[8]}}"
    [ -n "$killed" ] || wait "${dialers[8]}" 2>/dev/null || true
    [ -z "$killed" ] || until_true grep -q ended "$work/out8"
    echo >&9
    until_true waits
    kill -CONT "$daemon"
    until_true eval '[ "$(wc -l <"$work/out9")" = 2 ]'
    is "$(tail -n 1 "$work/out9")" 1 "killed and $how, it holds no port"
    stop "${dialers[8]}" "${dialers[9]}"
done
