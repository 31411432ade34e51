#!/bin/bash
# The partition of the README, pasted as it stands there, prints what the README says.
. "$(dirname "$0")/scenario.bash"
need redis-cli redis-server

end_the_rest() { lonet down --kill; }
mkdir "$work/session"
cd "$work/session"
readme_block sh '## Partitions' >session
is "$(bash session </dev/null)" "$(readme_block text '## Partitions')" "it prints what the README says"
