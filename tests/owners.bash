# shellcheck shell=bash disable=SC2034,SC2154 # variables of who sources it
# For scenarios about other users: . "$(dirname "$0")/owners.bash", after scenario.bash
#
#     with_each_owner FUNCTION     calls it with each uid whose network is to be tried: the caller's, and for root nobody's,
#                                  too. $uid is the uid, "${owner[@]}" before a command runs it as that user
#     each_owner                   at the head of a scenario: for root it runs twice, the second time with a network of nobody's:
#                                  `lonet` is nobody's command then. "${owner[@]}" as above; the uids of ${outsiders[@]} are not the
#                                  owner's, and root is one of them where nobody is the owner; none for a caller who is not root
#     "${third[@]}" COMMAND…       runs it as a user who is neither: for root alone
#     $python                      a python3 that all of them may run; empty for none
#     "${worker[@]}"               binds a port as another uid, and prints that and the port: for root's network alone
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
# A member of root's network that has dropped its privileges before its first call: it has the key, and no way through the directory.
cat >"$work/worker.py" <<'END'
import os, socket
s = socket.create_server(("", 0))
print(os.getuid(), s.getsockname()[1])
END
chmod 644 "$work/call.py" "$work/worker.py"
worker=("${third[@]}" "$python" "$work/worker.py")

with_each_owner() {
    uid=$(id -u) owner=(env)
    "$1"
    [ "$uid" = 0 ] || return 0
    uid=65534 owner=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    "$1"
}

each_owner() {
    local lonet
    owner=(env) outsiders=()
    [ "$(id -u)" = 0 ] || return 0
    outsiders=(65534 65533)
    if [ -z "${OWNER_IS_NOBODY-}" ]; then
        OWNER_IS_NOBODY=1 LONET_NETWORK=$LONET_NETWORK-n "$0" || fail "with a network of nobody's"
        echo "ok: with a network of nobody's"
        return 0
    fi
    owner=(setpriv --reuid 65534 --regid 65534 --clear-groups) outsiders=(65533 0)
    lonet=$(command -v lonet)
    "${owner[@]}" test -x "$lonet" || { echo "skipped: nobody cannot run lonet here" && exit 0; }
    mkdir "$work/bin"
    printf '#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups "%s" "$@"\n' "$lonet" >"$work/bin/lonet"
    chmod 755 "$work/bin" "$work/bin/lonet"
    PATH=$work/bin:$PATH
    # The network's directory is made there.
    chmod 1777 "$work"
}
