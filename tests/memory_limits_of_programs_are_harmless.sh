#!/bin/bash
# A program has no address space for what lonet maps (RLIMIT_AS), or locks all that it maps (mlockall): it binds, dials and
# accepts as ever, and its memory does not grow by more than the network's table.
. "$(dirname "$0")/scenario.bash"

cat >"$work/program.py" <<'END'
import ctypes, encodings.idna, os, resource, socket, sys

def status(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))  # KiB

def tables():
    with open("/proc/self/maps") as f:
        return sum(line.rstrip().endswith("/table") for line in f)

kind = sys.argv[1]
assert tables() == 0
if kind == "little":
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (6 << 10) << 10, most))
if kind == "locked":
    CURRENT, FUTURE = 1, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(CURRENT | FUTURE) != 0:
        sys.exit("not allowed: " + os.strerror(ctypes.get_errno()))
before = status("VmRSS"), status("VmLck")
for _ in range(20):
    s = socket.create_server(("", 0))
    c = socket.create_connection(("alpha.lonet", s.getsockname()[1]))
    a, peer = s.accept()
    assert peer == c.getsockname(), peer
    a.sendall(b"hello")
    assert c.recv(5, socket.MSG_WAITALL) == b"hello"
    s.close(), c.close(), a.close()
grown = max(now - then for now, then in zip((status("VmRSS"), status("VmLck")), before))
print(f"tables: {tables()}", "grown by 64 MiB" if grown >= 64 << 10 else "")
END
# The library starts lonetd itself: `lonet run` would have mapped nothing, but asked first.
run() { LD_PRELOAD=$library LONET_HOST=alpha python3 "$work/program.py" "$1" 2>&1 || true; }

is "$(run plain)" "tables: 1 " "a program maps the table"
is "$(run little)" "tables: 0 " "one with no room for it asks instead"
locked=$(run locked)
if [ "$(id -u)" != 0 ] && [[ $locked == "not allowed: "* ]]; then
    echo "skipped: $(id -un) may not lock all memory ($locked)"
else
    is "$locked" "tables: 1 " "one that locks its memory locks the table, too"
fi
