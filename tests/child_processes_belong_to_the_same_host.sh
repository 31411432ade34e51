#!/bin/bash
# What a program on a host starts is the host, by whatever program it is started and however clean its environment is.
. "$(dirname "$0")/scenario.bash"
on() { lonet run --host α -- "$@"; }
who=(hostname)

is "$(on env -i "$(command -v hostname)")" "α.lonet" "env -i"
is "$(on env -i PATH="$PATH" A=1 sh -c 'env -i PATH="$PATH" hostname')" "α.lonet" "env -i in a shell, twice"
is "$(on env -u LONET_HOST -u LD_PRELOAD "${who[@]}")" "α.lonet" "two variables taken away"
is "$(on bash -c 'exec -c "$(command -v hostname)"')" "α.lonet" "bash: exec -c"
is "$(on bash -c 'unset LD_PRELOAD ${!LONET_@}; hostname; (hostname); hostname | cat')" $'α.lonet\nα.lonet\nα.lonet' \
    "bash: unset, then as a child, in a subshell, in a pipe"
is "$(on python3 -c 'import subprocess; print(subprocess.run(["hostname"], env={}, capture_output=True, text=True).stdout, end="")')" \
    "α.lonet" "python3: subprocess with no environment"
is "$(on python3 -c 'import os; os.environ.clear(); os.system("hostname")')" "α.lonet" "python3: os.system after clear"
is "$(on xargs -a /dev/null env -i "$(command -v hostname)")" "α.lonet" "xargs"
is "$(on sh -c 'LONET_HOST=β hostname')" "β.lonet" "another host that is given counts"
like "$(on sh -c 'LONET_HOST= hostname')" "^$(hostname)\$" "an empty LONET_HOST is the way out"
if command -v perl >/dev/null; then
    is "$(on perl -e '%ENV = (); $| = 1; system("/usr/bin/env", "-i", $ARGV[0]); exec $ARGV[0]' "$(command -v hostname)")" \
        $'α.lonet\nα.lonet' "perl: system and exec"
fi
given="A=1 LONET_HOST=α B=2 LD_PRELOAD=$library LONET_KEY=$(on sh -c 'echo $LONET_KEY')"
rest=$(on env -i $given env | head -n 5)
is "$rest" "${given// /$'\n'}" "what is passed stays where it is, and nothing is there twice"
is "$(on env -i $given env | cut -d= -f1 | sort | uniq -d)" "" "not one variable is there twice"
