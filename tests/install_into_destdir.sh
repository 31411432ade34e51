#!/bin/bash
# scripts/install with DESTDIR: everything is below it, and no file names it.
. "$(dirname "$0")/scenario.bash"
if [ ! -x "$tests/../scripts/install" ]; then
    echo "ok: # skip: scripts/install needs the sources"
    exit 0
fi
"$tests/../scripts/install" --prefix /opt/lonet DESTDIR="$work/dest" >/dev/null
version=$(lonet --version | sed 's/^[^ ]* //')
is "$(cd "$work/dest" && find . -type f ! -name 'lonet_*.3' | LC_ALL=C sort | tr '\n' ' ')" \
    "./opt/lonet/bin/lonet ./opt/lonet/include/lonet.h ./opt/lonet/lib/cmake/lonet/lonetConfig.cmake ./opt/lonet/lib/cmake/lonet/lonetConfigVersion.cmake ./opt/lonet/lib/liblonet.so.${version%%.*} ./opt/lonet/lib/pkgconfig/lonet.pc ./opt/lonet/share/bash-completion/completions/lonet ./opt/lonet/share/fish/vendor_completions.d/lonet.fish $(cd "$tests/../man" && for page in *; do echo -n "./opt/lonet/share/man/man${page##*.}/$page "; done)./opt/lonet/share/zsh/site-functions/_lonet " \
    "the files"
is "$(grep -rl --binary-files=without-match "$work" "$work/dest" || true)" "" "none of them names the DESTDIR"
