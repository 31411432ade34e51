#!/bin/bash
# nats-server ×3, a Go program, all on ports 4222 and 6222 of their hosts, with routes by name: what is published at one is
# heard at the others, also when one of them was killed and has come back.
. "$(dirname "$0")/../scenario.bash"
need nats-server python3

servers=(n1 n2 n3)
declare -A pids
server() {
    start "$1" lonet run --host "$1" -- nats-server -a 0.0.0.0 -p 4222 --cluster_name it \
        --cluster nats://0.0.0.0:6222 --routes nats://n1.lonet:6222,nats://n2.lonet:6222,nats://n3.lonet:6222 --no_advertise
    pids[$1]=$pid
}
# Subscribes at HOST, says so, and says the first message.
cat >"$work/hear.py" <<'P'
import socket, sys
s = socket.create_connection((sys.argv[1], 4222))
lines = s.makefile("rwb", 0)
lines.readline()
lines.write(b'CONNECT {"verbose":false}\r\nSUB news 1\r\nPING\r\n')
while True:
    line = lines.readline()
    if line.startswith(b"PONG"):
        print("ready", flush=True)
    if line.startswith(b"MSG"):
        print(lines.readline().decode().strip())
        break
P
# Publishes at HOST once each tenth of a second, as interest in it takes time to get around, until it is ended.
cat >"$work/say.py" <<'P'
import socket, sys, time
s = socket.create_connection((sys.argv[1], 4222))
lines = s.makefile("rwb", 0)
lines.readline()
lines.write(b'CONNECT {"verbose":false}\r\n')
while True:
    lines.write(b"PUB news %d\r\n%s\r\n" % (len(sys.argv[2]), sys.argv[2].encode()))
    time.sleep(0.1)
P
# heard FROM TO WORD
heard() {
    start "hear-$2" lonet run --host "c-$2" -- python3 "$work/hear.py" "$2.lonet"
    local hears=$pid
    until_true grep -q ready "$work/hear-$2"
    start say lonet run --host "c-$1" -- python3 "$work/say.py" "$1.lonet" "$3"
    local says=$pid
    wait "$hears"
    kill "$says"
    wait "$says" || true
    is "$(tail -n 1 "$work/hear-$2")" "$3" "published at $1, heard at $2"
}
for name in "${servers[@]}"; do server "$name"; done
lonet wait --timeout 60 n{1,2,3}:4222
heard n1 n2 one
heard n2 n3 two
heard n3 n1 three
kill -KILL "${pids[n2]}"
wait "${pids[n2]}" 2>/dev/null || true
heard n1 n3 without
server n2
lonet wait --timeout 60 n2:4222
heard n2 n1 again
