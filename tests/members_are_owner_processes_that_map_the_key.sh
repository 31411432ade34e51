#!/bin/bash
# A child of a member that never calls lonet, with nothing left in its environment, is a member by what it maps; another
# user's process that maps a file of the same path elsewhere is none, and is not let in.
. "$(dirname "$0")/scenario.bash"
. "$(dirname "$0")/owners.bash"
each_owner

cat >"$work/member.py" <<'END'
import ctypes, os, signal, socket
s = socket.create_server(("", 1))
environ = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
i = 0
while environ[i]:
    ctypes.memset(environ[i], 0, len(ctypes.string_at(environ[i])))
    i += 1
if os.fork() == 0:
    s.close()
    print(os.getpid(), open("/proc/self/environ").read().count("LONET_KEY"), flush=True)
    signal.pause()
signal.pause()
END
cat >"$work/outsider.py" <<'END'
import mmap, os, socket, sys
uid, home, key, again = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
os.setgroups([]), os.setgid(uid), os.setuid(uid)
os.makedirs(os.path.dirname(home + key))
with open(home + key, "wb") as f:
    f.write(b"x" * 16)
with open(home + key, "rb") as f:
    mapping = mmap.mmap(f.fileno(), 16, mmap.MAP_SHARED, mmap.PROT_READ)
maps = [line for line in open("/proc/self/maps").read().splitlines() if line.endswith(key)]
print("maps", len(maps), flush=True)
open(again).read()
try:
    # In bytes: what turns names into these is where another user may not look.
    socket.create_connection((b"xn--mxa.lonet", 1))
    print("let in", flush=True)
except OSError as e:
    print("refused", flush=True)
END
# The child is none of this shell's.
end_the_rest() { lonet down --kill 2>/dev/null || true; }
start member lonet run --host α -- "$python" "$work/member.py"
parent=$pid
lonet wait --timeout 120 α:1
until_true [ -s "$work/member" ]
read -r child keys <"$work/member"
is "$keys" 0 "the child's environment tells nothing"

dir=$TMPDIR/lonet/$LONET_NETWORK
chmod a+x "$work" "$TMPDIR"
for uid in ${outsiders[@]+"${outsiders[@]}"}; do
    mkdir -m 777 "$work/home$uid"
    mkfifo -m 666 "$work/again$uid"
    # A key that is not the network's: without one the library does not ask another user's lonetd.
    LONET_LOG=$work/home$uid/why start "outsider$uid" env LD_PRELOAD="$library" LONET_DIR="$dir" \
        LONET_KEY="$("${owner[@]}" id -u)-00000000000000000000000000000000" \
        "$python" "$work/outsider.py" "$uid" "$work/home$uid" "$dir/key" "$work/again$uid"
    until_true grep -qx "maps 1" "$work/outsider$uid"
done
# Who is in the network is looked for before this is answered.
code 1 lonet down
one="python3 \(pid $parent\)" other="python3 \(pid $child\)"
# Pids begin anew now and then.
like "$err" "in use by ($one, $other|$other, $one);" "the child is a member, and nobody else"
kill "$parent"
wait "$parent" 2>/dev/null || true
for _ in 1 2 3; do
    lonet run --host β -- true
done
for uid in ${outsiders[@]+"${outsiders[@]}"}; do
    echo >"$work/again$uid"
    until_true grep -Eq "^(refused|let in)$|Error" "$work/outsider$uid"
    is "$(tail -n 1 "$work/outsider$uid")" refused "uid $uid is not let in"
done
code 1 lonet down
like "$err" "in use by python3 \(pid $child\);" "the child is left"
code 0 lonet down --kill
until_true ended "$child"
echo "ok: and is ended with the network"
