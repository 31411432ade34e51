#!/bin/bash
# `lonet run` says that a program without a host binds the machine's ports; -q silences it.
. "$(dirname "$0")/scenario.bash"

code 0 lonet run -- true
is "$err" "lonet: without --host the program is no host, and the ports that it binds are the machine's (-q silences this)" \
    "without a host"
code 0 lonet run -q -- true
is "$err" "" "-q"
code 0 lonet run -H α -- true
is "$err" "" "a host by its flag"
code 0 env LONET_HOST=α lonet run -- true
is "$err" "" "a host by its variable"
