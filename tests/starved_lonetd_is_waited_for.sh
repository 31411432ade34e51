#!/bin/bash
# A lonetd that has work to do and gets no processor is waited for beyond the time limit, which is for one that is stopped
# or stuck.
. "$(dirname "$0")/scenario.bash"
need python3 taskset renice

if [ "$(id -u)" != 0 ]; then
    echo "skipped: only root may put one program so far before another"
    exit 0
fi
cat >"$work/busy.py" <<'END'
# Keeps its processor to itself, as a group and as a process.
import os
try:
    open("/proc/self/autogroup", "w").write("-20")
except OSError:
    pass
os.nice(-20)
print("there", flush=True)
while True:
    pass
END
welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
daemon=$(lonetd)
processor=$(taskset -cp "$daemon" | grep -oE '[0-9]+' | sed -n 2p)
taskset -acp "$processor" "$daemon" >"$work/taskset"
for thread in /proc/"$daemon"/task/*; do renice -n 19 -p "${thread##*/}" >>"$work/taskset"; done
[ ! -e "/proc/$daemon/autogroup" ] || echo 19 >"/proc/$daemon/autogroup"
start busy setsid taskset -c "$processor" python3 "$work/busy.py"
busy=$pid
until_true grep -q there "$work/busy"

# Older than the limit and still there: it waits.
waits_on() { [ "$(ps -o etimes= -p "$pid" || echo 0)" -ge 7 ]; }
is_decided() { waits_on || ended "$pid"; }
for n in {1..50}; do
    start "asker$n" lonet run --host β -- echo ran
    until_true is_decided
    ended "$pid" || break
    # lonetd has had a processor for a moment.
    is "$(<"$work/asker$n")" ran "a question in time, $n"
done
stop "$busy"
if ended "$pid"; then
    echo "skipped: lonetd cannot be kept from a processor here"
    exit 0
fi
wait "$pid" || fail "exit code $?"
is "$(<"$work/asker$n")" ran "a question to one without a processor is answered later"

kill -STOP "$daemon"
start asker lonet run --host β -- echo ran
code=0
wait "$pid" || code=$?
kill -CONT "$daemon"
is "$code" 125 "a lonetd that is stopped is not waited for"
like "$(<"$work/asker")" "did not answer within 5 s" "which is said"
