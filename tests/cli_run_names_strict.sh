#!/bin/bash
# `lonet run --names strict`: a name that no program has is unknown; by default it has an address already.
. "$(dirname "$0")/scenario.bash"

code 0 lonet run -H α -- getent hosts β.lonet
code 2 lonet run -H α --names strict -- getent hosts γ.lonet
code 0 env LONET_NAMES=strict lonet run -H α --names lenient -- getent hosts γ.lonet
start server lonet run -H δ -- sleep 1000
up() { lonet ls δ; }
until_true up
code 0 lonet run -H α --names strict -- getent hosts δ.lonet
echo "ok: one that a program has"
