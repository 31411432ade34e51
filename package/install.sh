#!/bin/sh
# Installs lonet from the tarball that this is in, or takes it away again.
#
#     ./install.sh [--prefix DIRECTORY] [--uninstall]
#
# The prefix is /usr/local by default.
set -eu
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
here=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local uninstall=
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) [ $# -gt 1 ] || { usage >&2 && exit 2; } && prefix=$2 && shift ;;
        --prefix=*) prefix=${1#*=} ;;
        --uninstall) uninstall=1 ;;
        -h | --help) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
case $prefix in
    *[[:space:]:\$]*) echo "$0: LD_PRELOAD cannot carry a path with spaces, colons or \$: $prefix" >&2 && exit 1 ;;
    /*) ;;
    *) prefix=$PWD/$prefix ;;
esac
cd "$here/files"
# The directories that were not there before lonet: they go with it.
made=$prefix/lib/lonet.dirs
if [ "$uninstall" ]; then
    dirs=$(cat "$made" 2>/dev/null || true)
    rm -f "$made"
    find . ! -type d | while read -r file; do rm -f "$prefix/$file"; done
    # Unless something else has come into them.
    printf '%s\n' "$dirs" | while read -r dir; do [ -z "$dir" ] || rmdir "$dir" 2>/dev/null || true; done
    echo "lonet is gone from $prefix"
    exit
fi
# Inner ones first.
missing=$(
    find . -depth -mindepth 1 -type d | while read -r dir; do [ -d "$prefix/$dir" ] || echo "$prefix/${dir#./}"; done
    dir=$prefix
    while [ ! -d "$dir" ]; do echo "$dir" && dir=$(dirname "$dir"); done
)
if ! mkdir -p "$prefix/lib" 2>/dev/null || [ ! -w "$prefix" ]; then
    echo "$0: $prefix cannot be written: run it as root, or with --prefix \$HOME/.local" >&2
    exit 1
fi
# Who installs it over itself has made most of them before.
[ ! -f "$made" ] || missing="$missing
$(cat "$made")"
printf '%s\n' "$missing" >"$made"
cp -R . "$prefix"
# Where the loader looks by itself a path in the program would only be in the way.
rpath="-Wl,-rpath,\${libdir} "
[ "$prefix" != /usr ] || rpath=
sed -e "s|^prefix=.*|prefix=$prefix|" -e "s|^Libs: .*|Libs: -L\${libdir} $rpath-llonet|" \
    lib/pkgconfig/lonet.pc >"$prefix/lib/pkgconfig/lonet.pc"
echo "lonet is in $prefix"
case :$PATH: in *:"$prefix/bin":*) ;; *) echo "put $prefix/bin into your PATH" ;; esac
