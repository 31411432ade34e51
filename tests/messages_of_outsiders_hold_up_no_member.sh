#!/bin/bash
# Another user's processes that send messages to the control socket as fast as they can are answered a few times, and cost
# members little: whether what they send is a message with a wrong key, no message at all, or full of descriptors.
. "$(dirname "$0")/scenario.bash"

as_another_user
. "$(dirname "$0")/owners.bash"
each_owner
cat >"$work/outsider.py" <<'END'
# UID NAME: as another user. For each line "KIND N" of its input it sends N messages of this kind, each on a connection of its
# own, and says so; then, for another line, how many of them were answered. UID NAME flood: sends without end, and says
# once that it has begun.
import array, itertools, os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
uid, name = int(sys.argv[1]), sys.argv[2]
os.setgroups([]), os.setgid(uid), os.setuid(uid)
# A user may have no more descriptors under way than a process may have open.
descriptors = [os.open("/dev/null", os.O_RDONLY)] * (253 if sys.argv[3:] else 4)
# The request that is the same in every version, down: with a wrong key.
down = b"lnet\0\0" + bytes(16) + b"\1"
kinds = {"keys": (down, []), "descriptors": (down, descriptors), "garbage": (b"x" * 900, [])}
def send(message, descriptors):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(b"\0" + name.encode())
    rights = array.array("i", descriptors)
    s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else [])
    return s
def is_answered(s):
    try:
        return s.recv(4000) != b""
    except ConnectionResetError:
        return False
for n in itertools.count() if sys.argv[3:] else []:
    try:
        send(*list(kinds.values())[n % 3]).close()
    except OSError:
        pass
    if n == 1000:
        print("begun", flush=True)
for line in sys.stdin:
    kind, n = line.split()
    sent = [send(*kinds[kind]) for _ in range(int(n))]
    print("sent", flush=True)
    sys.stdin.readline()
    print(sum(map(is_answered, sent)), flush=True)
END
welcome
start server lonet run --host α -- "$python" "$work/server.py" 80
server=$pid
lonet wait --timeout 120 α:80
daemon=$(lonetd)
name=$(abstract_name "$daemon")

# What they have sent while lonetd did not look, before a member asked for something.
commanded 7 outsider "$python" "$work/outsider.py" "${outsiders[0]}" "$name"
outsider=$pid
outsider_printed() { [ "$(wc -l <"$work/outsider")" -ge "$1" ]; }
for kind in keys descriptors garbage; do
    stop_lonetd
    before=$(wc -l <"$work/outsider")
    echo "$kind 1000" >&7
    until_true outsider_printed $((before + 1))
    start member lonet run --host β -- "$python" "$work/dial.py" α.lonet 80
    kill -CONT "$daemon"
    wait "$pid"
    is "$(<"$work/member")" welcome "a member that asks after a thousand outsiders is served ($kind)"
    echo >&7
    until_true outsider_printed $((before + 2))
    answered=$(tail -n 1 "$work/outsider")
    # At most 16 wait for an answer when lonetd has accepted another 64.
    [ "$answered" -le 300 ] || fail "$answered of a thousand outsiders have been answered"
    echo "ok: few of them are answered"
done
exec 7>&-
wait "$outsider"
like "$(<"$TMPDIR/lonet/$LONET_NETWORK/log")" "connections of other users' processes to the control socket closed" \
    "the log has a count of them"

start flood "$python" "$work/outsider.py" "${outsiders[0]}" "$name" flood
flood=$pid
until_true grep -q begun "$work/flood"
for n in 1 2 3; do
    is "$(timeout 60 lonet run --host γ -- "$python" "$work/dial.py" α.lonet 80)" welcome "a member is served meanwhile, $n"
done
# Of nobody's programs none can become another user's.
if [ -z "${OWNER_IS_NOBODY-}" ]; then
    is "$(timeout 60 lonet run --host δ -- "${worker[@]}")" "65533 1" "one that has dropped its uid, too"
fi
runs "$flood" || fail "the flood has ended: $(<"$work/flood")"
stop "$flood"
is "$(lonetd)" "$daemon" "by the same lonetd"
