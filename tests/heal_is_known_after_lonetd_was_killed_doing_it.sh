#!/bin/bash
# lonetd is killed when it has healed and has not said so: the next one, which is asked again, knows that it was done, and what
# the rule had met.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"
need strace

node α
node β
tell β listen 80
connect α β
# heal ARGUMENT…: with a lonetd that is killed in the place of its answer, which goes out with a file.
heal() {
    daemon=$(lonetd)
    start strace strace -f -e trace=sendmsg -e inject=sendmsg:signal=KILL:when=1 -p "$daemon"
    until_true grep -q attached "$work/strace"
    code "$1" lonet heal "${@:2}"
    until_true eval '! kill -0 $daemon 2>"$work/kill"'
}
code 0 lonet cut α β
tell α send c again
tell α lost c
heal 0 --expect-hit α β
is "$(lonet faults)" "" "it is healed"
tell β wait c
is "$answer" again "what was sent arrives"

code 0 lonet cut α β
code 0 lonet refuse β α:80
heal 0 β α
is "$(lonet faults)" "" "also with a rule of another kind"
code 0 lonet cut α β
code 0 lonet refuse β α:80
heal 0
is "$(lonet faults)" "" "also of everything"

# Another order is another one.
code 1 lonet heal α β
like "$err" "no such rule" "what is not there is not healed"
