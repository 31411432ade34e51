# shellcheck shell=bash disable=SC2034 # variables for who sources it
# What the scripts share. Sourced by bash; sets `root` to the directory of the tree.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The version of lonet.
version() { sed -nE '/^\[workspace.package\]/,/^\[/s/^version = "(.*)"/\1/p' "$root/Cargo.toml"; }

# The oldest Rust that builds it.
rust_version() { sed -nE 's/^rust-version = "(.*)"/\1/p' "$root/Cargo.toml"; }

# In the C locale curl takes no name that is not ASCII, and sed no letter.
export LC_ALL=C.UTF-8

# Adds to PATH where Debian keeps programs that are not on every user's.
widen_path() {
    local dir
    for dir in /usr/local/sbin /usr/sbin /sbin /usr/lib/postgresql/*/bin; do
        [[ ":$PATH:" == *":$dir:"* ]] || [ ! -d "$dir" ] || PATH=$PATH:$dir
    done
}
widen_path

# The Debian packages that hold the programs which the scripts and the tests call. Rust is not here: the tree needs
# a newer one (rust-version in Cargo.toml) than most distributions have.
declare -A package=(
    [/etc/services]="netbase"
    [/usr/lib/dovecot/imap]="dovecot-imapd"
    [ab]="apache2-utils"
    [as]="binutils"
    # Debian has one or the other.
    [busybox]="busybox-static"
    [busybox-static]="busybox-static"
    [bwrap]="bubblewrap"
    [cc]="gcc libc6-dev"
    [c++]="g++"
    [caddy]="caddy"
    [chromium]="chromium"
    [cmake]="cmake make"
    [curl]="curl"
    [dpkg-deb]="dpkg"
    [epmd]="erlang-base"
    [erl]="erlang-base"
    [etcd]="etcd-server"
    [etcdctl]="etcd-client"
    [fish]="fish"
    [gdb]="gdb"
    [go]="golang-go"
    [haproxy]="haproxy"
    [inetd]="openbsd-inetd"
    [initdb]="postgresql"
    [java]="default-jre-headless"
    [javac]="default-jdk-headless"
    [jq]="jq"
    [ld]="binutils"
    [libfaketime]="libfaketime"
    [libjemalloc]="libjemalloc2"
    [libsocket_wrapper]="libsocket-wrapper"
    [libtcmalloc]="libtcmalloc-minimal4"
    [mandoc]="mandoc"
    [mariadb]="mariadb-client"
    [mariadb-install-db]="mariadb-server"
    [mariadbd]="mariadb-server"
    [memcached]="memcached"
    [musl-gcc]="musl-tools"
    [nats-server]="nats-server"
    [nc]="netcat-openbsd"
    [ncat]="ncat"
    [nft]="nftables iproute2"
    [nginx]="nginx-light"
    [nm]="binutils"
    [node]="nodejs"
    [objdump]="binutils"
    [perl]="perl-base"
    [pg_basebackup]="postgresql-client"
    [pg_ctl]="postgresql"
    [pgbench]="postgresql"
    [pgrep]="procps"
    [pkg-config]="pkg-config"
    [prometheus]="prometheus"
    [ps]="procps"
    [psql]="postgresql-client"
    [python3]="python3"
    [python3-jsonschema]="python3-jsonschema"
    [python3-testsuite]="lib$(readlink /usr/bin/python3 || echo python3.11)-testsuite"
    [readelf]="binutils"
    [redis-benchmark]="redis-tools"
    [redis-cli]="redis-tools"
    [redis-server]="redis-server"
    [scp]="openssh-client"
    [setcap]="libcap2-bin"
    [setpriv]="util-linux"
    [shellcheck]="shellcheck"
    [socat]="socat"
    [ss]="iproute2"
    [ssh]="openssh-client"
    [ssh-keygen]="openssh-client"
    [sshd]="openssh-server"
    [strace]="strace"
    [strip]="binutils"
    [taskset]="util-linux"
    [systemd-socket-activate]="systemd"
    [tcpserver]="ucspi-tcp"
    [tmux]="tmux"
    [tshark]="tshark"
    [valgrind]="valgrind"
    [vsftpd]="vsftpd"
    [wget]="wget"
    [zsh]="zsh"
)

# path_of LIBRARY: the file that is to be preloaded, such as …/libjemalloc.so.2.
path_of() {
    local file
    for file in /usr/lib/*/"$1".so* /usr/lib/*/"$1"_minimal.so* /usr/lib/*/faketime/"$1".so.1; do
        if [ -e "$file" ]; then printf '%s\n' "$file" && return 0; fi
    done
    return 1
}

# have NAME: it is there. Most names are programs; python3-… is a part of Debian's Python, lib… a library, /… a
# file, …-static a program that no other library is loaded into.
have() {
    local program
    case $1 in
        /*) [ -e "$1" ] ;;
        lib*) path_of "$1" >/dev/null ;;
        *-static) program=$(command -v "${1%-static}") && ! ldd "$program" >/dev/null 2>&1 ;;
        python3-jsonschema) /usr/bin/python3 -c 'import jsonschema' 2>/dev/null ;;
        python3-testsuite) /usr/bin/python3 -c 'import test.test_socket' 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# need PROGRAM…: installs what is missing where that is possible (root, apt-get), else says what is missing and ends.
need() {
    local missing packages
    find_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing ${packages[*]}" >&2
        install_packages "${packages[@]}" || true
        widen_path
        find_missing "$@"
        [ ${#missing[@]} -gt 0 ] || return 0
    fi
    local how="; on Debian: apt-get install ${packages[*]}"
    [ ${#packages[@]} -gt 0 ] || how=
    [[ " ${missing[*]} " != *" cargo "* ]] || how+="; cargo: Rust $(rust_version) or newer, from https://rustup.rs"
    echo "$0: missing: ${missing[*]}$how" >&2
    exit 1
}

# find_missing PROGRAM…: sets `missing`, and `packages` that hold what is missing.
find_missing() {
    local program holder
    missing=() packages=()
    for program; do
        if [[ " ${missing[*]} " != *" $program "* ]] && ! have "$program"; then
            missing+=("$program")
            # Several words: several packages.
            for holder in ${package[$program]-}; do
                [[ " ${packages[*]} " == *" $holder "* ]] || packages+=("$holder")
            done
        fi
    done
}

# A server that Debian would start at once is not wanted here: policy-rc.d says so to its package.
install_packages() {
    local policy=/usr/sbin/policy-rc.d made=false done=0
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=true
    fi
    # A machine that was started just now may be installing by itself.
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qq -y
        --no-install-recommends "$@")
    # The lists may be missing or old: then, and only then, they are fetched.
    "${install[@]}" </dev/null >&2 || { apt-get update -qq >&2 && "${install[@]}" </dev/null >&2; } || done=1
    if $made; then rm -f $policy; fi
    return $done
}
