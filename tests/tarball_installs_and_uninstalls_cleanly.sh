#!/bin/bash
# The tarball: its script installs what runs, for whoever links with it, too, and takes all of it away again.
. "$(dirname "$0")/scenario.bash"
need cc
if [ ! -d "$tests/../package" ]; then "$tests/../scripts/package" "$work/package" >/dev/null; else cp -r "$tests/../package" "$work"; fi
tar -C "$work" -xzf "$work"/package/lonet-*.tar.gz
mkdir -p "$work/home/share/man" && echo theirs >"$work/home/mine"
install=("$work"/lonet-*/install.sh)
like "$("${install[0]}" --prefix "$work/home")" "^lonet is in $work/home"$'\n'"put $work/home/bin into your PATH" "what it says"
PATH=$work/home/bin:$PATH
is "$(type -P lonet)" "$work/home/bin/lonet" "the command is there"
start web lonet run -H web -- python3 -m http.server 80
lonet wait web:80
like "$(lonet run -H cli -- curl -sS http://web.lonet/)" 'Directory listing' "a program that it runs reaches another by name"
lonet down --kill
cat >"$work/user.c" <<'C'
#include <lonet.h>
#include <stdio.h>
int main(void) { return puts(lonet_version()) < 0; }
C
# shellcheck disable=SC2046
cc -o "$work/user" "$work/user.c" $(PKG_CONFIG_PATH=$work/home/lib/pkgconfig pkg-config --cflags --libs lonet)
is "$("$work/user")" "$(lonet --version | sed 's/^[^ ]* //')" "a program that is linked with the library finds it"
"${install[0]}" --prefix "$work/home" --uninstall >/dev/null
is "$(cd "$work/home" && find . -mindepth 1 | sort)" $'./mine\n./share\n./share/man' "what was there before is left, and nothing else"
"${install[0]}" --prefix "$work/new/local" >"$work/said"
"${install[0]}" --prefix "$work/new/local" >"$work/said"
"${install[0]}" --prefix "$work/new/local" --uninstall >"$work/said"
[ ! -e "$work/new" ] || fail "directories are left: $(find "$work/new")"
echo "ok: a prefix that was not there before is taken away, also after two installations"
code 2 "${install[0]}" --what
code 1 "${install[0]}" --prefix "$work/a b"
like "$err" 'LD_PRELOAD cannot carry a path with spaces' "a path that LD_PRELOAD cannot carry is refused"
