#!/bin/bash
# Who listens on a host's 127.0.0.1 or ::1 alone is reached by that host's programs, as on any machine: not by another host,
# nor by a program outside lonet at the address that the kernel has, also while lonetd is stopped. `lonet wait` finds it as
# that host only, `lonet addr` does not. (Such servers trust whoever comes.)
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'END'
import socket, sys, threading
def serve(s):
    while True:
        try:
            c, peer = s.accept()
        except ConnectionAbortedError:
            continue
        print(peer[0], flush=True)
        c.sendall(b"welcome")
        c.close()
for ip in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    threading.Thread(target=serve, args=(socket.create_server((ip, 80), family=family),)).start()
print("ready", flush=True)
END
cat >"$work/call.py" <<'END'
import encodings.idna, socket, sys
try:
    c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    print(c.recv(7, socket.MSG_WAITALL).decode() or "closed")
except OSError as e:
    print(type(e).__name__)
END
call() { python3 "$work/call.py" "$@"; }
ready() { grep -q ready "$work/$1"; }
# os HOST PORT: where the kernel has its first listener.
os() {
    lonet ls --json | jq -r --arg host "$1" \
        '[.hosts[] | select(.name == $host) | .sockets[] | select(.state == "listening")][0].os'
}

start alpha lonet run --host α -- python3 "$work/server.py" 127.0.0.1 ::1
until_true ready alpha
os=$(os α)
like "$os" '^127\.' "the kernel has it at an address"
for ip in 127.0.0.1 ::1; do
    is "$(lonet run --host α -- python3 "$work/call.py" "$ip" 80)" welcome "its host's programs reach $ip"
done
is "$(lonet run --host β -- python3 "$work/call.py" α.lonet 80)" ConnectionRefusedError "another host does not"
is "$(call "${os%:*}" "${os#*:}")" ConnectionResetError "nor does a program outside"
is "$(cat "$work/alpha")" $'ready\n127.0.0.1\n::1' "the server has seen its own host's programs"
code 1 lonet wait --timeout 0.1 α:80
is "$err" "lonet: nothing listens on α:80; α listens on 80, but only on its loopback" "lonet wait"
code 0 lonet run --host α -- lonet wait --timeout 120 α:80
code 0 lonet wait --loopback --timeout 120 α:80
code 1 lonet addr α:80
is "$err" "lonet: nothing listens on α:80; α listens on 80, but only on its loopback" "lonet addr"

daemon=$(lonetd)
kill -STOP "$daemon"
is "$(call "${os%:*}" "${os#*:}")" ConnectionResetError "nor while lonetd is stopped"
kill -CONT "$daemon"

start gamma lonet run --host γ -- python3 "$work/server.py" 127.0.0.1 "$(lonet run --host γ -- getent ahostsv4 γ.lonet | awk 'NR == 1 { print $1 }')"
until_true ready gamma
lonet wait --timeout 120 γ:80
os=$(lonet addr γ:80)
is "$(call "${os%:*}" "${os#*:}")" welcome "who listens on the host's address as well is reached there"
