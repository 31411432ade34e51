#!/bin/bash
# `lonet cut α β --at 3` takes effect with α's third dial of β: that one hangs, and so does what the first two have made. `refuse`
# likewise. Other dials do not count, and lonetd's death changes nothing.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"

for host in α β γ; do
    node $host
    tell $host listen 80
done
code 0 lonet cut α β --at 3
is "$(rules)" "lonet cut α β --at 3" "faults shows which dial it waits for"
tell β dial back α.lonet 80
tell β made back
is "$answer" 0 "β's dials do not count"
tell γ dial c β.lonet 80
tell γ made c
tell β accept from-γ
tell α dial elsewhere γ.lonet 80
tell α made elsewhere
is "$answer" 0 "nor do others"
connect α β
is "$(rules)" "lonet cut α β --at 2" "after the first one"
tell α send c passes
tell β wait c
is "$answer" passes "nothing is cut"
kill_lonetd
tell α dial second β.lonet 80
tell α made second
is "$answer" 0 "nor with the second one"
tell α dial third β.lonet 80
tell α waits third
is "$answer" waits "the third one hangs"
is "$(rules)" "lonet cut α β" "it has taken effect"
tell α send c lost
tell α lost c
tell β now c
is "$answer" nothing "on what was made before, too"
code 0 lonet heal
tell α made third
is "$answer" 0 "it is made after heal"
tell β wait c
is "$answer" lost "and what was sent arrives"

code 0 lonet refuse α β:80 --at 2
is "$(rules)" "lonet refuse α β:80 --at 2" "faults shows it of refuse"
tell α dial d β.lonet 80
tell α made d
is "$answer" 0 "the first dial is made"
for _ in 1 2; do
    tell α dial e β.lonet 80
    tell α made e
    is "$answer" ECONNREFUSED "the next ones are refused"
done
code 0 lonet heal
code 2 lonet cut α β --at 0
code 2 lonet cut α β --at 3 --for 1s
