#!/bin/bash
# A running nginx hands its listeners to a new binary by signals, as its manual says: USR2, WINCH and QUIT. No request
# fails meanwhile, and both binaries are the same host although nginx clears its environment.
. "$(dirname "$0")/../scenario.bash"
need curl jq nginx ps

cat >"$work/nginx.conf" <<CONF
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log info;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $work/temporary; proxy_temp_path $work/temporary; fastcgi_temp_path $work/temporary;
    uwsgi_temp_path $work/temporary; scgi_temp_path $work/temporary;
    server {
        listen 80 reuseport;
        listen [::]:80 reuseport;
        location / { return 200 "\$pid \$server_addr\n"; }
    }
}
CONF
# Its full path: nginx executes its argv[0].
lonet run -H φ -- "$(command -v nginx)" -e "$work/error.log" -c "$work/nginx.conf"
lonet wait --timeout 120 φ:80
first=$(<"$work/nginx.pid")
address=$(lonet run -H κ -- getent ahostsv4 φ.lonet | awk 'NR == 1 { print $1 }')

# A client that asks without a pause, until it is told to stop; each answer is a line.
cat >"$work/client.sh" <<'SH'
while [ ! -e "$1" ]; do
    curl -sS http://φ.lonet/ || echo "FAILED: $?"
done
SH
start answers lonet run -H κ -- bash "$work/client.sh" "$work/enough"
client=$pid
# answered_by MASTER: the last answer is of a worker of it.
answered_by() {
    local worker
    worker=$(tail -n 1 "$work/answers" | cut -d ' ' -f 1)
    [ "$(ps -o ppid= -p "$worker" | tr -d ' ')" = "$1" ]
}
until_true answered_by "$first"

kill -USR2 "$first"
until_true test -s "$work/nginx.pid.oldbin"
until_true test -s "$work/nginx.pid"
second=$(<"$work/nginx.pid")
[ "$first" != "$second" ] || fail "there is no second master"
until_true answered_by "$second"
echo "ok: the new binary's workers answer"
kill -WINCH "$first"
no_workers() { [ -z "$(ps -o pid= --ppid "$first" | grep -v "$second")" ]; }
until_true no_workers
kill -QUIT "$first"
until_true ended "$first"
until_true answered_by "$second"
: >"$work/enough"
wait "$client"
like "$(wc -l <"$work/answers")" '^[0-9]+' "requests were answered"
is "$(cut -d ' ' -f 2- "$work/answers" | sort -u)" "$address" "all of them, by φ"
kill -QUIT "$second"
until_true ended "$second"
is "$(lonet ls --json | jq -c '[.hosts[].sockets[] | select(.state == "listening")]')" "[]" "and nothing listens when it has ended"
