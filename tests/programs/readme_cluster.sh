#!/bin/bash
# The cluster of the README, pasted as it stands there, prints what the README says.
. "$(dirname "$0")/../scenario.bash"
need etcd etcdctl

end_the_rest() { lonet down --kill; }
mkdir "$work/session"
cd "$work/session"
readme_block sh '## A cluster of a Go program' >session
is "$(bash session </dev/null)" "$(readme_block text '## A cluster of a Go program')" "it prints what the README says"
