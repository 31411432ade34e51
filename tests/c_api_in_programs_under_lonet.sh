#!/bin/bash
# Programs that use the C API behave the same when they are started with `lonet run`, as a host of another network.
. "$(dirname "$0")/scenario.bash"
export LD_LIBRARY_PATH=${library%/*} LONET_PEER=$tests/peer
for program in session ports dial close fork share threads; do
    code 0 lonet run --host q -- "$LONET_C_TESTS/api_$program"
    echo "ok: api_$program"
done
