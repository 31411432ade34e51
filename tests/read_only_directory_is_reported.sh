#!/bin/bash
# No network can begin where the directory of all networks is read-only: `lonet run` says so, and calls give ENETDOWN.
if [ "$(id -u)" = 0 ] && [ ! "${LONET_READ_ONLY_INSIDE:-}" ]; then
    # To root a directory without write permission is as good as any.
    if ! unshare --mount mount --bind /mnt /mnt 2>/dev/null; then
        echo "skipped: root here may not mount anything, and needs it to have a directory that it cannot write to"
        exit 0
    fi
    LONET_READ_ONLY_INSIDE=1 exec unshare --mount "$0"
fi
. "$(dirname "$0")/scenario.bash"

mkdir "$work/lonet"
if [ "$(id -u)" = 0 ]; then
    mount --bind "$work/lonet" "$work/lonet"
    mount -o remount,bind,ro "$work/lonet"
    why="Read-only file system"
else
    chmod 555 "$work/lonet"
    why="Permission denied"
fi
code 125 lonet run --host alpha -- true
like "$err" "^lonet: network \"$LONET_NETWORK\": cannot make the network's directory: .*$why \\(the directory is $work/lonet/$LONET_NETWORK\\): set TMPDIR to a directory of your own\$" "lonet run says what it cannot do"
is "$(LD_PRELOAD=$library LONET_HOST=alpha timeout 30 python3 -c '
import errno, socket
for call in lambda s: s.bind(("", 80)), lambda s: s.connect(("127.0.0.1", 80)):
    try: call(socket.socket())
    except OSError as e: print(errno.errorcode[e.errno])
' 2>/dev/null)" $'ENETDOWN\nENETDOWN' "bind and connect of a program give ENETDOWN"
if [ "$(id -u)" = 0 ]; then umount "$work/lonet"; else chmod 755 "$work/lonet"; fi
is "$(lonet run --host alpha -- echo works)" works "and once the directory is writable, all is well"
