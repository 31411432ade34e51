#!/bin/bash
# Where three hundred programs want every processor, `lonet run` takes long and works: the time that lonetd waits for a
# processor is not taken for silence.
. "$(dirname "$0")/scenario.bash"

if [ -z "${LONET_FULL:-}" ]; then
    echo "skipped: takes a minute, with --full"
    exit 0
fi
cat >"$work/busy.py" <<'END'
import os, signal
os.setpgrp()
wait, begin = os.pipe()
for _ in range(300):
    if os.fork() == 0:
        os.close(begin)
        os.read(wait, 1)
        while True:
            pass
os.close(begin)
print("there", flush=True)
signal.pause()
END
end_the_rest() { [ -z "${busy:-}" ] || kill -KILL -- "-$busy" 2>/dev/null || true; }
# A group of its own, to be ended with all its children; a session of its own would have a share of the processors of its own.
python3 "$work/busy.py" >"$work/busy" &
busy=$!
until_true grep -q there "$work/busy"
for n in {1..20}; do
    is "$(lonet run -n "$LONET_NETWORK-$n" --host α -- echo ran 2>&1)" ran "start $n"
done
