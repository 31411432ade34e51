#!/bin/bash
# The Debian package, in a root of its own: what it installs runs, and nothing is left of it when it is purged.
. "$(dirname "$0")/scenario.bash"
if [ "$(id -u)" != 0 ]; then
    echo "ok: # skip: dpkg installs for root alone"
    exit 0
fi
if [ ! -d "$tests/../package" ]; then "$tests/../scripts/package" "$work/package" >/dev/null; else cp -r "$tests/../package" "$work"; fi
mkdir -p "$work/root/var/lib/dpkg"/{info,updates} && : >"$work/root/var/lib/dpkg/status"
in_root() { dpkg --root="$work/root" --log="$work/log" --force-depends "$@" >"$work/dpkg" 2>&1 || fail "dpkg $*: $(cat "$work/dpkg")"; }
in_root --install "$work"/package/*.deb
PATH=$work/root/usr/bin:$PATH
is "$(type -P lonet)" "$work/root/usr/bin/lonet" "the command is there"
start web lonet run -H web -- python3 -m http.server 80
lonet wait web:80
like "$(lonet run -H cli -- curl -sS http://web.lonet/)" 'Directory listing' "a program that it runs reaches another by name"
lonet down --kill
is "$(zgrep -c . "$work/root/usr/share/doc/lonet/changelog.gz" >/dev/null && echo read)" read "its list of changes can be read"
in_root --purge lonet
is "$(find "$work/root" -path "$work/root/var" -prune -o ! -type d -print)" "" "nothing is left"
