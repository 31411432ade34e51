#!/bin/bash
# A server in a user namespace, where other users have the number that the owner has elsewhere, resets them also when lonetd
# does not answer: those without a number there look like an owner that is nobody, and those of the uid that the server has
# dropped to like root.
. "$(dirname "$0")/scenario.bash"
need python3 setpriv
as_another_user
. "$tests/owners.bash"
if ! why=$("${third[@]}" unshare --user --map-root-user true 2>&1); then
    echo "skipped: no user namespace can be made here: $why"
    exit 0
fi

# serve.py [UID MAP]: becomes the user and goes to a namespace of that map after it has listened.
cat >"$work/serve.py" <<'END'
import ctypes, os, socket, sys
s = socket.create_server(("", 80))
if len(sys.argv) > 1:
    uid = int(sys.argv[1])
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    PR_SET_DUMPABLE, CLONE_NEWUSER = 4, 0x10000000
    if libc.prctl(PR_SET_DUMPABLE, 1) or libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    with open("/proc/self/uid_map", "w") as uid_map:
        uid_map.write(sys.argv[2])
print(os.getuid(), flush=True)
while True:
    try:
        s.accept()[0].sendall(b"welcome")
    except ConnectionError:
        pass
END
chmod 644 "$work"/*.py

# resets OWNER WHAT COMMAND…: the server of a network of its own.
resets() {
    local uid=$1 what=$2 dir=$work/of$1 os
    shift 2
    mkdir -m 711 "$dir"
    chown "$uid:$uid" "$dir"
    owner=(env TMPDIR="$dir" HOME="$dir" setpriv --reuid "$uid" --regid "$uid" --clear-groups)
    start "server$uid" "${owner[@]}" lonet run --host α -- "$@"
    until_true grep -q . "$work/server$uid"
    os=$("${owner[@]}" lonet addr α:80)
    is "$("${owner[@]}" "$python" "$work/call.py" "$os")" welcome "the owner is let in"
    is "$("${third[@]}" "$python" "$work/call.py" "$os")" reset "$what is reset"
    daemon=$(pgrep -f "^lonetd daemon --network $LONET_NETWORK --dir $dir/")
    stop_lonetd
    is "$("${third[@]}" "$python" "$work/call.py" "$os")" reset "with lonetd stopped, too"
    kill -CONT "$daemon"
    is "$("${owner[@]}" "$python" "$work/call.py" "$os")" welcome "the owner is let in when lonetd goes on"
    stop "$pid"
}
resets 65534 "who has no number, as the owner has none," unshare --user --map-root-user "$python" "$work/serve.py"
resets 0 "who has root's number" "$python" "$work/serve.py" 65533 "0 65533 1"
