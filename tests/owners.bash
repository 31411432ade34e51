# shellcheck shell=bash disable=SC2034,SC2154 # variables of who sources it
# For scenarios about other users: . "$(dirname "$0")/owners.bash", after scenario.bash
#
#     with_each_owner FUNCTION     calls it with each uid whose network is to be tried: the caller's, and for root nobody's,
#                                  too. $uid is the uid, "${owner[@]}" before a command runs it as that user
#     "${third[@]}" COMMAND…       runs it as a user who is neither: for root alone
#     $python                      a python3 that all of them may run; empty for none
#     $work/call.py ADDRESS        says what who listens there says, or "reset"
third=(setpriv --reuid 65533 --regid 65533 --clear-groups)
python=$(command -v python3)
chmod 711 "$work"
if [ "$(id -u)" = 0 ]; then
    # PATH's first python3 may be where another user cannot look.
    python=
    while read -r found; do
        if "${third[@]}" test -x "$found"; then python=$found && break; fi
    done < <(type -ap python3)
    [ -n "$python" ] || { echo "skipped: no python3 that another user may run" && exit 0; }
fi

cat >"$work/call.py" <<'END'
import encodings.idna, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
try:
    print(socket.create_connection((host, int(port)), 30).recv(7, socket.MSG_WAITALL).decode() or "closed")
except ConnectionResetError:
    print("reset")
END
chmod 644 "$work/call.py"

with_each_owner() {
    uid=$(id -u) owner=(env)
    "$1"
    [ "$uid" = 0 ] || return 0
    uid=65534 owner=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    "$1"
}
