#!/bin/bash
# FTP from β to α:21, with the data on connections of their own: to a port that the server names, and from the server to
# one that the client names, in both families.
. "$(dirname "$0")/../scenario.bash"
need curl vsftpd

chmod 711 "$work"
mkdir "$work/files" "$work/empty"
chmod 555 "$work/empty"
echo "here is α" >"$work/files/file"
cat >"$work/vsftpd.conf" <<CONF
background=NO
listen_ipv6=YES
anonymous_enable=YES
no_anon_password=YES
anon_root=$work/files
secure_chroot_dir=$work/empty
CONF
[ "$(id -u)" = 0 ] || echo run_as_launching_user=YES >>"$work/vsftpd.conf"
start vsftpd lonet run -H α -- vsftpd "$work/vsftpd.conf"
lonet wait --timeout 120 α:21
# vsftpd sends no data to ports below 1024.
get() { lonet run -H β --autobind-from 1024 -- curl -sS --fail "$@"; }
is "$(get ftp://α.lonet/file)" "here is α" "to a port of the server's"
is "$(get --ftp-port - ftp://α.lonet/file)" "here is α" "to a port of the client's"
six=$(lonet run -H β -- getent ahostsv6 α.lonet | awk 'NR == 1 { print $1 }')
is "$(get "ftp://[$six]/file")" "here is α" "over IPv6 to a port of the server's"
is "$(get --ftp-port - "ftp://[$six]/file")" "here is α" "over IPv6 to a port of the client's"
