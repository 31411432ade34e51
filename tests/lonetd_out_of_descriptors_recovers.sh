#!/bin/bash
# A lonetd that has no descriptor left lets those who come wait, says so in one line of its log, and rests; when it has one
# again they are answered.
. "$(dirname "$0")/scenario.bash"

welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
daemon=$(lonetd)
log() { grep -c 'times no descriptor for a connection to the control socket' "$TMPDIR/lonet/$LONET_NETWORK/log"; }
limit() { prlimit --pid "$daemon" --nofile="$1:"; }
rests() { grep -q '^State:.S' "/proc/$daemon/status"; }

is "$(log || true)" 0 "nothing is missing at first"
before=$(prlimit --pid "$daemon" --nofile --output SOFT --noheadings | tr -d ' ')
limit 3
start listing lonet ls
until_true log
# The doors are shut and opened again meanwhile.
until_true rests
is "$(log)" 1 "what is missing is said once"
kill -0 "$pid" || fail "lonet ls did not wait: $(<"$work/listing")"
limit "$before"
wait "$pid" || fail "lonet ls failed: $(<"$work/listing")"
like "$(<"$work/listing")" "α:80" "who waited is answered"
is "$(lonet run --host β -- python3 "$work/dial.py" α.lonet 80)" welcome "and who comes then is, too"
is "$(log)" 1 "the log has the one line"
