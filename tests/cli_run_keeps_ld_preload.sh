#!/bin/bash
# What was in LD_PRELOAD stays there, behind liblonet.so, which is in it once.
. "$(dirname "$0")/scenario.bash"

cc -shared -fPIC -o "$work/other.so" -x c - <<<'int other;'
show() { lonet run -H α -- sh -c 'echo "$LD_PRELOAD"'; }
is "$(show)" "$library" "nothing there before"
is "$(LD_PRELOAD=$work/other.so show)" "$library:$work/other.so" "another library"
is "$(LD_PRELOAD="$work/other.so $library" show)" "$library:$work/other.so" "liblonet.so behind another"
is "$(lonet run -H α -- lonet run -H β -- sh -c 'echo "$LONET_HOST $LD_PRELOAD"')" "β $library" "one lonet run in another"
is "$(lonet run -H α -- sh -c 'grep -c liblonet.so /proc/self/maps >/dev/null && echo loaded' )" loaded "it is loaded"
