#!/bin/bash
# `lonet forward` serves the user's own programs; others, who would come to the host as its owner's, are reset, root with a
# network of another user's too, and are served only by --all-users.
. "$(dirname "$0")/scenario.bash"
as_another_user
. "$(dirname "$0")/owners.bash"
each_owner

welcome
cat >"$work/as.py" <<'END'
# UID PORT TIMES: what this user's calls of the port are told.
import encodings.idna, os, socket, sys
uid = int(sys.argv[1])
os.setgroups([]), os.setgid(uid), os.setuid(uid)
for _ in range(int(sys.argv[3])):
    try:
        print(socket.create_connection(("127.0.0.1", int(sys.argv[2])), 30).recv(7, socket.MSG_WAITALL).decode() or "closed")
    except ConnectionResetError:
        print("reset")
END
says() { until_true grep -q ' leads to ' "$work/$1" && sed -nE 's/^127.0.0.1:([0-9]+) leads.*/\1/p' "$work/$1"; }
told() { "$python" "$work/as.py" "$@" | sort | uniq -c | tr -s ' '; }
uid=$("${owner[@]}" id -u)
start server lonet run --host α -- "$python" "$work/server.py" 80
lonet wait --timeout 120 α:80

start own lonet forward α:80 0
port=$(says own)
is "$(told "$uid" "$port" 1)" " 1 welcome" "uid $uid's forward serves uid $uid"
for other in "${outsiders[@]}"; do
    is "$(told "$other" "$port" 20)" " 20 reset" "and resets uid $other"
done
is "$(told "$uid" "$port" 1)" " 1 welcome" "and goes on"
is "$(grep -c "other users' programs reset; --all-users serves them, too" "$work/own")" 1 "which it says once, and counts from then on"

start all lonet forward --all-users α:80 0
port=$(says all)
for each in "$uid" "${outsiders[@]}"; do
    is "$(told "$each" "$port" 1)" " 1 welcome" "with --all-users it serves uid $each"
done
