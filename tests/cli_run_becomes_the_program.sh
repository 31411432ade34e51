#!/bin/bash
# `lonet run` executes the program in its own place: same pid, same descriptors, same working directory, same argv[0];
# lonet is nobody's parent and has nothing to pass on.
. "$(dirname "$0")/scenario.bash"

start pid lonet run -H α -- sh -c 'echo $$'
wait "$pid"
is "$(<"$work/pid")" "$pid" "the pid"
is "$(echo hello | lonet run -H α -- cat)" hello "standard input and output"
is "$(cd /usr && lonet run -H α -- pwd)" /usr "the working directory"
is "$(lonet run -H α -- sh -c 'echo "$0"')" sh "argv[0]"
is "$(lonet run -H α -- sh -c 'ls -l /proc/self/fd | grep -c socket:' 5</dev/null || true)" 0 "no descriptor is added"
start signal lonet run -H α -- sh -c 'trap "echo got it; exit 3" TERM; echo up; while :; do sleep 0.01; done'
until_true grep up "$work/signal"
kill "$pid" && result=0 && { wait "$pid" || result=$?; }
is "$(<"$work/signal") $result" $'up\ngot it 3' "a signal reaches it, and its exit code comes back"
is "$(lonet run -n "$LONET_NETWORK" -H α -- sh -c 'echo $LONET_NETWORK $LONET_HOST $LONET_DIR')" \
    "$LONET_NETWORK α $TMPDIR/lonet/$LONET_NETWORK" "it is told where it is"
