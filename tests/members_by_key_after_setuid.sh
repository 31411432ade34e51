#!/bin/bash
# A program that has become another user before its first network call is a member by LONET_KEY. Another user's
# without the network's key is refused, and LONET_LOG says why.
. "$(dirname "$0")/scenario.bash"

as_another_user
# What the other user is to read and write; the network's directory stays the owner's.
chmod 711 "$work"
: >"$work/why"
chmod 666 "$work/why"
export LONET_LOG=$work/why

welcome
cat >"$work/listen.py" <<'END'
import errno, socket
try:
    print(socket.create_server(("", 0)).getsockname()[1])
except OSError as e:
    print(errno.errorcode[e.errno])
END
other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
# PATH's first python3 may be where the other user cannot look.
python=
while read -r found; do
    if "${other[@]}" test -x "$found"; then python=$found && break; fi
done < <(type -ap python3)
[ -n "$python" ] || { echo "skipped: no python3 that another user may run" && exit 0; }

start owner lonet run --host α -- python3 "$work/server.py"
lonet wait --timeout 120 α:1
start member lonet run --host β -- "${other[@]}" "$python" "$work/server.py"
lonet wait --timeout 120 β:1
until_true [ -s "$work/member" ]
is "$(<"$work/member")" "65534 1" "another user's program with the key listens"
is "$(lonet run --host α -- python3 "$work/dial.py" β.lonet)" welcome "the owner's programs reach it"
is "$(lonet run --host γ -- "${other[@]}" "$python" "$work/dial.py" β.lonet)" welcome "and so do other users' with the key"

# Given from outside: what a member starts gets back what it was robbed of.
dir=$TMPDIR/lonet/$LONET_NETWORK
without_key=("${other[@]}" env "LONET_DIR=$dir" LONET_HOST=δ "LD_PRELOAD=$library")
: >"$work/why"
is "$("${without_key[@]}" "$python" "$work/listen.py")" ENETDOWN "without the key it cannot listen"
like "$(<"$work/why")" "belongs to uid 0" "and the log says whose network it is"
: >"$work/why"
wrong=0-00000000000000000000000000000000
is "$("${without_key[@]}" LONET_KEY=$wrong "$python" "$work/listen.py")" ENETDOWN "nor with a wrong key"
like "$(<"$work/why")" "cannot open the network's lock file: EACCES" "which does not lead to lonetd"
[[ $(lonet ls) != *δ* ]] || fail "the refused host is listed"
is "$(lonet run --host α -- python3 "$work/dial.py" β.lonet)" welcome "the network goes on"
