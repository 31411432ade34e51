#!/bin/bash
# A supervised program cannot rename the machine, as a hooked one cannot, whatever its privileges: errors in the arguments come
# first. Where it has made a UTS namespace, it gives names to that.
[ "${LONET_NAMES_INSIDE:-}" ] || {
    spaces=(--uts)
    [ "$(id -u)" = 0 ] || spaces+=(--user --map-root-user)
    if ! unshare "${spaces[@]}" true 2>/dev/null; then
        echo "skipped: no namespace may be made here, in which names can be tried"
        exit 0
    fi
    # The machine that is not to be renamed is a namespace.
    LONET_NAMES_INSIDE=1 exec unshare "${spaces[@]}" "$0"
}
. "$(dirname "$0")/scenario.bash"

cat >"$work/rename.py" <<'END'
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for call in libc.sethostname, libc.setdomainname:
    for name, length in (b"other", 5), (b"o" * 65, 65), (None, -1), (None, 5), (None, 0):
        failed = call(name, ctypes.c_ssize_t(length))
        print(call.__name__, length, errno.errorcode[ctypes.get_errno()] if failed else "set")
END
machine() { python3 -c 'import os; print(os.uname().nodename, open("/proc/sys/kernel/domainname").read())'; }
before=$(machine)
for how in never always; do
    is "$(lonet run --host α --supervise "$how" -- python3 "$work/rename.py")" "sethostname 5 EPERM
sethostname 65 EINVAL
sethostname -1 EINVAL
sethostname 5 EFAULT
sethostname 0 EPERM
setdomainname 5 EPERM
setdomainname 65 EINVAL
setdomainname -1 EINVAL
setdomainname 5 EFAULT
setdomainname 0 EPERM" "supervised $how: no name is set"
    is "$(machine)" "$before" "supervised $how: the machine has its names"
done
is "$(lonet run --host α --supervise always -- unshare --uts python3 "$work/rename.py" | grep -c "set$")" 4 "a namespace's names are set"
is "$(machine)" "$before" "the machine has its names"
