#!/bin/bash
# `lonet down --kill` of a member that has another uid ends the programs of this uid and no others, and says who is left.
. "$(dirname "$0")/scenario.bash"

as_another_user
chmod 711 "$work"
worker=(setpriv --reuid 65534 --regid 65534 --clear-groups)
other=(setpriv --reuid 65533 --regid 65533 --clear-groups)
"${worker[@]}" test -x "$(command -v lonet)" || { echo "skipped: other users cannot run lonet here" && exit 0; }
start owner lonet run --host α -- sleep 1000
owner=$pid
start worker lonet run --host β -- "${worker[@]}" sleep 1000
worker_pid=$pid
start other lonet run --host γ -- "${other[@]}" sleep 1000
other_pid=$pid
for each in "$owner" "$worker_pid" "$other_pid"; do
    until_true grep -qx sleep "/proc/$each/comm"
done

code 1 lonet run --host δ -- "${worker[@]}" lonet down --kill
like "$err" "uid 65534 may end no other user's programs; .* in use by .*sleep \(pid $owner\)" "it is told who is left"
until_true ended "$worker_pid"
kill -0 "$owner" "$other_pid" || fail "others were ended"
echo "ok: its own have ended, and others go on"
code 1 lonet run --host δ -- "${worker[@]}" lonet down --kill
like "$err" "sleep \(pid $owner\)" "where it has none it is told at once"
kill -0 "$owner" "$other_pid" || fail "others were ended"
code 0 lonet down --kill
until_true ended "$owner"
until_true ended "$other_pid"
echo "ok: the owner's ends all"
