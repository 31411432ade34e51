#!/bin/bash
# Who opens a long trace through the C API and reads slowly is sent all of it, and lonetd does not keep it in memory.
. "$(dirname "$0")/scenario.bash"
need python3

cat >"$work/reader.py" <<'END'
import ctypes, os, select, sys
lib = ctypes.CDLL(sys.argv[1])
net = ctypes.c_void_p()
assert lib.lonet_join(os.environb[b"LONET_NETWORK"], ctypes.byref(net)) == 0
fd = lib.lonet_trace_open(net, 1)
assert fd >= 0
print("open", flush=True)
sys.stdin.readline()
event = ctypes.create_string_buffer(4096)
seen = 0
while b'"name":"last.lonet"' not in event.value:
    got = lib.lonet_trace_next(fd, event, len(event))
    if got < 0:
        lib.lonet_errmsg.restype = ctypes.c_char_p
        sys.exit(lib.lonet_errmsg().decode())
    if got == 0:
        select.select([fd], [], [])
    else:
        seen += b'"name":"many.lonet"' in event.value
print(seen, flush=True)
sys.stdin.readline()
END
code 0 lonet trace --start
lonet trace >/dev/null
# As if so much had happened.
python3 - "$work/lonet/$LONET_NETWORK/trace" <<'END'
import sys
event = '{"seq":%d,"time":"2026-11-29T14:00:00.123456Z","event":"name_asked","name":"%s","rule":"' + "x" * 800 + '"}\n'
with open(sys.argv[1], "a") as trace:
    for seq in range(20_000):
        trace.write(event % (seq, "last.lonet" if seq == 19_999 else "many.lonet"))
END
memory() { awk '$1 == "RssAnon:" { print $2 }' "/proc/$(lonetd)/status"; }
before=$(memory)
commanded 3 reader python3 "$work/reader.py" "$library"
until_true grep -q open "$work/reader"
# Each question is answered behind the reader's turn.
for _ in {1..20}; do lonet trace --start; done
grown=$(($(memory) - before))
[ $grown -lt 8192 ] || fail "lonetd has grown by $grown KiB"
echo "ok: of 18 MB that are not read lonetd keeps next to nothing"
echo >&3
until_true grep -q "^1" "$work/reader"
is "$(tail -n 1 "$work/reader")" 19999 "all of them come"
grown=$(($(memory) - before))
[ $grown -lt 8192 ] || fail "lonetd has grown by $grown KiB"
echo >&3
