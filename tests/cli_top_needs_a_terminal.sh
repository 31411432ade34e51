#!/bin/bash
# `lonet top` says that it needs a terminal where it has none.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/terminal.py" <<'PY'
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
which = {"stdin": {"stdout": subprocess.PIPE}, "stdout": {"stdin": subprocess.DEVNULL}, "both": {}}[sys.argv[1]]
sys.exit(subprocess.run(["lonet", "top"], **{"stdin": theirs, "stdout": theirs, **which}).returncode)
PY
code 2 python3 "$work/terminal.py" stdin
is "$out$err" "lonet: standard output is not a terminal, and lonet top needs a full screen: \`lonet ls\` and \`lonet trace --follow\` \
print what it shows" "standard output"
code 2 python3 "$work/terminal.py" stdout
like "$err" "^lonet: standard input is not a terminal" "standard input"
code 2 env TERM=dumb python3 "$work/terminal.py" both
like "$err" "^lonet: TERM is \"dumb\"" "a terminal that can do nothing"
