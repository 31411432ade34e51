#!/bin/bash
# Processes of another user are at all doors of root's network while its members and lonetd are killed: none is ever
# served, and members lose nothing by it. Half a minute, unless told otherwise:
#
#     tests/outsiders_at_all_doors_are_never_served.sh [SECONDS [SEED [LOG]]]      LOG: as in LONET_LOG, for all members
. "$(dirname "$0")/scenario.bash"

as_another_user
# As /tmp is: outsiders can make files beside the network's.
chmod 1777 "$work"
if [ -n "${3-}" ]; then export LONET_LOG=$3; fi
python3 "$tests/chaos/runner.py" "${1:-30}" "${2:-1}" "--outsiders${OUTSIDERS_AT:+=$OUTSIDERS_AT}" || {
    cp "$TMPDIR/lonet/$LONET_NETWORK/log" "$work/lonetd.log" || true
    fail "seed ${2:-1}"
}
