#!/bin/bash
# Two Dovecot on two hosts, both on port 143: a process that may do nothing else (for root: of another user, in an
# empty root directory) takes the connection, and passes it over an AF_UNIX socket to the process of the user who has
# logged in. That one knows both ends of it.
. "$(dirname "$0")/../scenario.bash"
need /usr/lib/dovecot/imap python3

user=$(id -un) group=$(id -gn)
[ "$user" != root ] || user=nobody group=nogroup
chmod 711 "$work"
for host in α β; do
    mkdir -p "$work/$host.mail"/{new,cur,tmp}
    printf 'Subject: for you on %s\n\nhello\n' $host >"$work/$host.mail/new/1"
    [ "$(id -u)" != 0 ] || chown -R "$user:$group" "$work/$host.mail"
    cat >"$work/$host.conf" <<CONF
base_dir = $work/$host.run
state_dir = $work/$host.run
log_path = $work/$host.log
protocols = imap
listen = *, ::
ssl = no
disable_plaintext_auth = no
default_internal_user = $user
default_internal_group = $group
default_login_user = $user
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:$work/$host.mail
passdb {
    driver = static
    args = password=secret
}
userdb {
    driver = static
    args = uid=$(id -u "$user") gid=$(id -g "$user") home=$work/$host.mail
}
service imap-login {
    inet_listener imaps {
        port = 0
    }
}
CONF
    # Only root can change its root directory.
    [ "$(id -u)" = 0 ] || printf 'service %s {\n    chroot =\n}\n' anvil auth imap-login stats >>"$work/$host.conf"
    start "$host" lonet run -H "$host" -- dovecot -F -c "$work/$host.conf"
done
lonet wait --timeout 120 α:143 β:143
cat >"$work/client.py" <<'PY'
import imaplib, sys

for address in sys.argv[1:]:
    with imaplib.IMAP4(address) as imap:
        imap.login("me", "secret")
        imap.select()
        sys.stdout.buffer.write(imap.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1].strip() + b"\n")
PY
address() { lonet run -H κ -- getent "ahosts$1" "$2.lonet" | awk 'NR == 1 { print $1 }'; }
is "$(lonet run -H κ -- python3 "$work/client.py" α.lonet "$(address v6 β)")" "Subject: for you on α
Subject: for you on β" "each host's mail"
# A process of its own writes the log.
until_true grep "Login: user=<me>, .*rip=$(address v4 κ), lip=$(address v4 α), " "$work/α.log"
echo "ok: α names both ends"
until_true grep "Login: user=<me>, .*rip=$(address v6 κ), lip=$(address v6 β), " "$work/β.log"
echo "ok: β, called over IPv6, too"
