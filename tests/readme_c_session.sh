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
readme=$root/README.md
# block c: the session; block text: what it prints, which is behind it.
block() {
    awk -v opening="\`\`\`$1" -v start='```c' '
        inside && /^```$/ { exit }
        inside { print }
        $0 == start { seen = 1 }
        seen && $0 == opening { inside = 1 }' "$readme"
}
cd "$work"
block c >session.c
is "$(wc -l <session.c)" 25 "the session has 25 lines"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
# shellcheck disable=SC2046
cc -Wall -Wextra -Werror session.c $(pkg-config --cflags --libs lonet)
is "$(./a.out)" "$(block text)" "it prints what the README says"
