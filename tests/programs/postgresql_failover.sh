#!/bin/bash
# A PostgreSQL primary and its streaming replica, on two hosts and both on port 5432, from initdb to failover: the
# replica is made by pg_basebackup and follows by name, and is promoted when the primary is gone.
. "$(dirname "$0")/../scenario.bash"
need initdb jq pg_basebackup pg_ctl psql setpriv

# PostgreSQL does not run for root: then it drops root first, as `sudo -u postgres` would.
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 711 "$work"
fi
mkdir "$work/servers"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$work/servers"
cd "$work/servers"
on() { lonet run -H "$1" -- ${as[@]+"${as[@]}"} env HOME="$work/servers" "${@:2}" </dev/null; }
sql() { on γ psql -XAtq -v ON_ERROR_STOP=1 -h "$1.lonet" -U me postgres -c "$2"; }
# settings HOST LINE…: hosts share one file system, so each has its own place for its AF_UNIX socket.
settings() {
    local host=$1
    shift
    on "$host" mkdir "$host-socket"
    printf '%s\n' "unix_socket_directories = '$work/servers/$host-socket'" "$@" >>"$host/postgresql.conf"
}
end_the_rest() {
    local host
    for host in α β; do on $host pg_ctl -D $host -m immediate stop >/dev/null 2>&1 || true; done
}

on α initdb -D α -U me -A trust --no-sync >initdb.log
settings α "listen_addresses = '*'" "fsync = off"
printf '%s\n' 'host all all all trust' 'host replication all all trust' >>α/pg_hba.conf
on α pg_ctl -D α -w -l α.log start >/dev/null
on β pg_basebackup -h α.lonet -U me -D β -R -c fast --no-sync
settings β
on β pg_ctl -D β -w -l β.log start >/dev/null

sql α 'create table t (x int); insert into t values (42)'
has() { [ "$(sql β 'select string_agg(x::text, chr(32) order by x) from t')" = "$1" ]; }
until_true has 42
echo "ok: β has what was written to α"
is "$(sql β 'select pg_is_in_recovery()')" t "β is a replica"
address=$(on γ getent ahostsv4 β.lonet | awk 'NR == 1 { print $1 }')
# Until it has caught up it does not call this streaming.
streams() { [ "$(sql α 'select host(client_addr), state from pg_stat_replication')" = "$address|streaming" ]; }
until_true streams
echo "ok: α streams to β's address"
is "$(lonet ls --json | jq -r '[.hosts[] | select(.sockets[] | .state == "listening" and .port == 5432) | .name] | unique | join(" ")')" \
    "α β" "both listen on 5432"
code 1 sql β 'insert into t values (43)'

on α pg_ctl -D α -m immediate stop >/dev/null
code 2 sql α 'select 1'
like "$err" 'refused|No route to host' "α is gone"
on β pg_ctl -D β -w promote >/dev/null
is "$(sql β 'insert into t values (43) returning x')" 43 "β takes the next row"
is "$(sql β 'select pg_is_in_recovery()')" f "as a primary"

# The old primary returns as a replica of the new one.
on α rm -r α α-socket
on α pg_basebackup -h β.lonet -U me -D α -R -c fast --no-sync
settings α
on α pg_ctl -D α -w -l α.log start >/dev/null
is "$(sql α 'select string_agg(x::text, chr(32) order by x), pg_is_in_recovery() from t')" "42 43|t" "and α follows it"
for host in α β; do on $host pg_ctl -D $host -m fast stop >/dev/null; done
