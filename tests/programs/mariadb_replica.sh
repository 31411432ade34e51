#!/bin/bash
# A MariaDB primary and its replica, on two hosts and both on port 3306, by name: accounts are for names, which the
# servers look up by address. The replica takes over when the primary is gone.
. "$(dirname "$0")/../scenario.bash"
need mariadb mariadb-install-db mariadbd

settings=(--no-defaults --innodb-log-file-size=4M --innodb-flush-method=nosync)
[ "$(id -u)" != 0 ] || settings+=(--user=root)
mariadb-install-db "${settings[@]}" --auth-root-authentication-method=normal --skip-test-db \
    --datadir="$work/α.data" >"$work/install" 2>&1 || fail "$(<"$work/install")"
cp -r "$work/α.data" "$work/β.data"
run_server() {
    start "$1" lonet run -H "$1" -- mariadbd "${settings[@]}" --bind-address='*' \
        --datadir="$work/$1.data" --socket="$work/$1.socket" --pid-file="$work/$1.pid" \
        --server-id="$2" --log-bin="$work/$1.data/binlog" --relay-log="$work/$1.data/relay"
    server[$1]=$pid
}
declare -A server
run_server α 1
run_server β 2
lonet wait --timeout 60 α:3306 β:3306
# Each host's administrator, who comes by its AF_UNIX socket, makes an account for whoever calls from a host's name.
administer() { mariadb --no-defaults -u root -S "$work/$1.socket" -e "$2"; }
for host in α β; do
    # That one listens a moment later.
    until_true administer $host 'select 1'
    administer $host "set sql_log_bin = 0;
        create user me@'%.lonet' identified by 'secret'; grant all on *.* to me@'%.lonet'"
done
sql() { lonet run -H γ -- mariadb --no-defaults -h "$1.lonet" -u me -psecret -BN -e "$2"; }

is "$(sql α 'select user(), @@hostname, @@port')" $'me@xn--oxa.lonet\tα.lonet\t3306' "α knows by name who calls"
sql β "change master to master_host = 'α.lonet', master_user = 'me', master_password = 'secret',
    master_use_gtid = slave_pos; start slave"
sql α 'create database d; create table d.t (x int primary key); insert into d.t values (42)'
has() { [ "$(sql β 'select group_concat(x) from d.t')" = "$1" ]; }
until_true has 42
echo "ok: β has what was written to α"
is "$(sql α "select user, host from information_schema.processlist where command = 'Binlog Dump'")" \
    $'me\txn--nxa.lonet:1' "α is followed from β's first port"
kill "${server[α]}"
wait "${server[α]}"
code 1 sql α 'select 1'
like "$err" "Can't connect|Lost connection" "α is gone"
is "$(sql β 'stop slave; reset slave all; insert into d.t values (43); select group_concat(x) from d.t')" 42,43 \
    "β takes the next row"
kill "${server[β]}"
wait "${server[β]}"
