#!/bin/bash
# An outsider's way into the C API: the session of the README, compiled as it says against an installed lonet,
# prints what the README says.
. "$(dirname "$0")/scenario.bash"
root=$tests/..
prefix=$root/prefix
if [ ! -d "$prefix" ]; then
    prefix=$work/prefix
    "$root/scripts/install" --prefix "$prefix" >/dev/null
fi
cd "$work"
readme_block c '```c' >session.c
is "$(wc -l <session.c)" 25 "the session has 25 lines"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
# shellcheck disable=SC2046
cc -Wall -Wextra -Werror session.c $(pkg-config --cflags --libs lonet)
is "$(./a.out)" "$(readme_block text '```c')" "it prints what the README says"
