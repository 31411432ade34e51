#!/bin/bash
# `lonet down` ends an empty network at once, leaves one with programs in it alone and names them, and ends these, too,
# with --kill: TERM first; only processes that joined. It tells how long it has waited.
. "$(dirname "$0")/scenario.bash"

code 0 lonet down
is "$err" "lonet: network \"$LONET_NETWORK\" is not running" "a network that does not run is down, and that is said"
code 0 lonet run -H α -- true
[ -e "$TMPDIR/lonet/$LONET_NETWORK/control" ] || fail "the network has ended too early"
code 0 lonet down
is "$(ls "$TMPDIR/lonet")" "" "an empty one ends, and its files with it"

# Programs that joined, by `lonet run` and no call of theirs, and a stranger.
cat >"$work/polite.py" <<'PY'
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("TERM")))
print("up", flush=True)
while True:
    signal.pause()
PY
start polite lonet run -H α -- python3 "$work/polite.py"
polite=$pid
start silent lonet run -H β -- sleep 1000
silent=$pid
start stranger sleep 1000
stranger=$pid
until_true grep up "$work/polite"
until_true grep -x sleep "/proc/$silent/comm"
code 1 lonet down
# By pid, and pids begin anew now and then.
users="python3 (pid $polite), sleep (pid $silent)"
[ "$polite" -lt "$silent" ] || users="sleep (pid $silent), python3 (pid $polite)"
is "$err" "lonet: network \"$LONET_NETWORK\" is in use by $users; end them first, or use --kill" "a busy one is left alone"
kill -0 "$polite" "$silent" || fail "down ended a program"

code 0 lonet down --kill
wait "$polite" || fail "TERM did not come first: exit code $?"
is "$(<"$work/polite")" $'up\nTERM' "TERM comes first"
until_true ended "$silent"
kill -0 "$stranger" || fail "a process that has not joined was ended"
is "$(ls "$TMPDIR/lonet")" "" "nothing is left of the network"

# One that is paused continues to take it.
start paused lonet run -H α -- python3 "$work/polite.py"
paused=$pid
until_true grep up "$work/paused"
lonet pause α >"$work/said"
code 0 lonet down --kill
wait "$paused" || fail "TERM did not come first: exit code $?"
is "$(<"$work/paused")" $'up\nTERM' "a paused program has TERM, too"

start stubborn lonet run -H α -- python3 -c '
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()'
until_true grep up "$work/stubborn"
code 0 lonet down --kill
like "$err" '^lonet: the network has ended after [0-9]+\.[0-9] s$' "how long KILL was waited for is told"
