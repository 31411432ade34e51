#!/bin/bash
# lonetd is killed at points all over a script, all over its own work for it, and all over its start; and who starts it
# is killed, too. Everybody else gets what they would have got. With LONET_FULL every point is tried.
. "$(dirname "$0")/scenario.bash"

# points MODE STEP WHAT
points() {
    code 0 "$LONET_C_TESTS/kill_points" "$1" 1 1000000 "${LONET_FULL:-$2}"
    echo "ok: $3: $out"
}
points program 23 "killed between any two steps of a program"
points lonetd 17 "killed between any two of its own"
points first 13 "killed while it starts"
eval "$(lonet env --host α)"
points starter 7 "its starter killed"
