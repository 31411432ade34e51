#!/bin/bash
# Random members of a network under load are killed, lonetd among them: no connection between others breaks, no port is
# held by the dead, none is held twice, and the next autobind gets the first free one. A minute, unless told otherwise:
#
#     tests/kill_of_any_process_disturbs_no_other.sh [SECONDS [SEED [LOG]]]      LOG: as in LONET_LOG, for all members
. "$(dirname "$0")/scenario.bash"

if [ -n "${3-}" ]; then export LONET_LOG=$3; fi
python3 "$tests/chaos/runner.py" "${1:-60}" "${2:-1}" || {
    cp "$TMPDIR/lonet/$LONET_NETWORK/log" "$work/lonetd.log" || true
    fail "seed ${2:-1}"
}
