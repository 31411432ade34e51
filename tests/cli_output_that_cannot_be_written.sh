#!/bin/bash
# Commands whose output cannot be written end as other commands do: with a sentence and exit code 1 where the disk is full, by
# SIGPIPE where the reader has gone.
. "$(dirname "$0")/scenario.bash"

welcome
start server lonet run -H α -- python3 "$work/server.py"
lonet wait --timeout 120 α:1
full="cannot write to the standard output: No space left on device (os error 28)"
for command in ls "ls --json" "addr α:1" networks env "help run" --version; do
    code 1 bash -c "lonet $command >/dev/full"
    is "$err" "lonet: $full" "lonet $command on a full disk"
    code 1 bash -c "lonet $command >&-"
    is "$err" "lonet: cannot write to the standard output: Bad file descriptor (os error 9)" "lonet $command without any output"
    # A pipe whose reader has gone before anything is written.
    code 141 python3 -c '
import os, subprocess, sys
read, write = os.pipe()
os.close(read)
code = subprocess.run(["lonet", *sys.argv[1].split()], stdout=write).returncode
sys.exit(128 - code if code < 0 else code)' "$command"
    is "$err" "" "lonet $command, which nobody reads"
done
code 125 bash -c 'lonet check python3 >/dev/full'
is "$err" "lonet: $full" "lonet check on a full disk"

# Where errors cannot be written the exit code tells.
for command in "" "ls --what"; do
    code 2 bash -c "lonet $command 2>/dev/full"
done
code 1 bash -c 'lonet ls nobody 2>/dev/full'
