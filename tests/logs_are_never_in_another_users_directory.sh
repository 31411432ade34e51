#!/bin/bash
# Where another user owns $XDG_STATE_HOME, or HOME, `lonet run --ready` and `lonet logs` are led nowhere by it: no log is written or
# read where that user has made the directory, or a link in its place. In the user's own they are.
. "$(dirname "$0")/scenario.bash"
. "$(dirname "$0")/owners.bash"
as_another_user
each_owner

end_the_rest() { lonet down --kill 2>/dev/null || true; }
welcome
other=${outsiders[0]}
as_other=(setpriv --reuid "$other" --regid "$other" --clear-groups)
export XDG_STATE_HOME=$work/state
# fresh: a directory of the other user's, in which all may make something.
fresh() { rm -rf "$XDG_STATE_HOME" && mkdir -m 1777 "$XDG_STATE_HOME" && chown "$other" "$XDG_STATE_HOME"; }
ready=(lonet run --ready 80 --host α -- "$python" "$work/server.py" 80)
end() { lonet down --kill && until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]; }

fresh
code 0 "${ready[@]}"
like "$out" "it writes to $XDG_STATE_HOME/lonet/$LONET_NETWORK/" "beside what others have there are logs"
until_true eval '[ "$(lonet logs α)" = "$("${owner[@]}" id -u) 80" ]'
end

fresh
"${as_other[@]}" mkdir -m 777 "$XDG_STATE_HOME/lonet"
refused="so that no logs can be there: set XDG_STATE_HOME to a directory of your own"
code 125 "${ready[@]}"
is "$err" "lonet: $XDG_STATE_HOME/lonet belongs to uid $other, $refused" "not in a directory that another user has made"
is "$(ls -A "$XDG_STATE_HOME/lonet")" "" "nothing is made in it"
end

fresh
mkdir -m 777 "$work/elsewhere"
"${as_other[@]}" ln -s "$work/elsewhere" "$XDG_STATE_HOME/lonet"
code 125 "${ready[@]}"
is "$err" "lonet: $XDG_STATE_HOME/lonet is a symbolic link, $refused" "nor where another user's link leads"
is "$(ls -A "$work/elsewhere")" "" "nothing is made there"
end

# What is shown to who has the right to read everything.
fresh
"${as_other[@]}" mkdir -p "$XDG_STATE_HOME/lonet/$LONET_NETWORK/1.000000000"
echo secret >"$work/secret"
"${as_other[@]}" ln -s "$work/secret" "$XDG_STATE_HOME/lonet/$LONET_NETWORK/1.000000000/α.log"
code 1 lonet logs α
is "$out$err" "lonet: $XDG_STATE_HOME/lonet belongs to uid $other, $refused" "nothing is read there"
