#!/bin/bash
# A connection on which data flows all the time is cut and healed again and again, in one direction or both: all arrives that
# was sent, once and in order.
. "$(dirname "$0")/scenario.bash"

cat >"$work/receiver.py" <<'PY'
import hashlib, socket
s = socket.create_server(("", 80))
c = s.accept()[0]
h, n = hashlib.sha256(), 0
while data := c.recv(1 << 20):
    h.update(data)
    n += len(data)
print(n, h.hexdigest(), flush=True)
PY
cat >"$work/sender.py" <<'PY'
# Sends until it is told to end. For each other line of its input it waits until something has been sent again, and says so.
import hashlib, select, socket, sys, threading
s = socket.create_connection(("β.lonet", 80))
h, n, ends = hashlib.sha256(), 0, False
def send():
    global n
    while not ends:
        data = n.to_bytes(8, "big") * 4096
        s.sendall(data)
        h.update(data)
        n += len(data)
        select.poll().poll(1)
t = threading.Thread(target=send)
t.start()
print("ready", flush=True)
for line in sys.stdin:
    if line == "end\n":
        break
    while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2] == 0:
        select.poll().poll(1)
    print("lost", flush=True)
ends = True
t.join()
s.close()
print(n, h.hexdigest(), flush=True)
PY
start receiver lonet run --host β -- python3 "$work/receiver.py"
lonet wait --timeout 120 β:80
commanded 9 sender lonet run --host α -- python3 "$work/sender.py"
until_true grep -q ready "$work/sender"
lost() { [ "$(grep -c lost "$work/sender")" = "$1" ]; }
n=0
for hosts in "α β" "α>β" "β>α" "α"; do
    for _ in 1 2; do
        # shellcheck disable=SC2086
        lonet cut $hosts >/dev/null
        echo >&9
        n=$((n + 1))
        until_true lost "$n"
        lonet heal >/dev/null
    done
done
echo end >&9
until_true [ -s "$work/receiver" ]
until_true eval '[ "$(wc -l <"$work/sender")" = $((n + 2)) ]'
is "$(<"$work/receiver")" "$(tail -n 1 "$work/sender")" "after $n cuts all has arrived"
