#!/bin/bash
# A debugger starts programs as hosts, in the ways that lonet(1) describes.
. "$(dirname "$0")/../scenario.bash"
need gdb python3

# PATH's first python3 may be a script.
python=$(python3 -c 'import sys; print(sys.executable)')
name='import socket; print(socket.gethostname())'
run=(-nx -batch -ex run --args "$python" -c "$name")
out=$(gdb -ex "set exec-wrapper env $(lonet env -H α | sed '/LONET_KEY/d; s/^export //' | tr '\n' ' ')" "${run[@]}" 2>&1)
like "$out" "(^|"$'\n'")α\\.lonet" "with lonet env in its exec-wrapper"
out=$(lonet run -H α -- gdb "${run[@]}" 2>&1)
like "$out" "(^|"$'\n'")α\\.lonet" "as a host itself"
