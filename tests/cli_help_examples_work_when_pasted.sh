#!/bin/bash
# The examples at the end of each command's help are pasted into one shell: those of `lonet run` first, then all others, and
# none fails.
. "$(dirname "$0")/scenario.bash"
need curl python3

export XDG_STATE_HOME=$work/state
end_the_rest() { lonet down --kill 2>/dev/null || true; lonet down -n mine --kill 2>/dev/null || true; }
examples() { lonet help "$1" | sed -n '/^Examples\?:$/,/^$/s/^  //p'; }
ends_all='^(kill|down)$'
commands=$(lonet help | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p' | grep -vxE 'help|run')
commands="run $(grep -vxE "$ends_all" <<<"$commands" | tr '\n' ' ')kill down"
cd "$work"
for command in $commands; do
    lines=$(examples "$command")
    like "$lines" "(^|[^a-z])lonet $command" "an example of lonet $command"
    # A delay needs what the loopback of most machines does not have.
    if [ "$command" = delay ]; then
        bash -c "$lines" >"$work/delay" 2>&1 || like "$(<"$work/delay")" 'tc qdisc replace dev lo root fq' "it says what is missing"
        continue
    fi
    # It wants a terminal.
    if [ "$command" = top ]; then
        code 2 bash -c "$lines"
        continue
    fi
    # It runs until it is interrupted.
    [ "$command" != forward ] || lines+=$'\nkill $!'
    code 0 bash -ec "$lines"
    [ "$command" != run ] || like "$out" 'api is ready' "the last example of run has started api"
done
end_the_rest
