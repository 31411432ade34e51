#!/bin/bash
# A program that makes no network calls is left alone: liblonet.so opens no socket and no file in it, asks nobody,
# starts nothing. (How long its start takes is for benchmarks to say: on a busy machine a limit would fail for no reason.)
. "$(dirname "$0")/scenario.bash"

# What `lonet run` sets, without its own start of the network.
settings=$(lonet env -H α)
# strace is not to be preloaded itself.
# shellcheck disable=SC2046 # words: variables
traced() { strace -f -qq -o "$work/$1" env $(sed 's/^export //' <<<"$settings" | tr -d "'") "${@:2}"; }
traced loaded /bin/true
strace -f -qq -o "$work/bare" /bin/true
# calls LOG: from the program's own start on; addresses, pids and the loading of the library itself left out.
calls() { sed -n '/execve("\/bin\/true"/,$p' "$1" | sed -E 's/^[0-9]+ +//; s/\(.*//' | grep -vE '^(mmap|munmap|mprotect|brk)$'; }
like "$(calls "$work/loaded")" '^execve' "strace sees the program"
is "$(calls "$work/loaded" | grep -E '^(socket|connect|bind|clone|clone3|fork|vfork|sendto|sendmsg|inotify_init1|epoll_create1)$' || true)" "" \
    "no socket, no process"
opened() { sed -n '/execve("\/bin\/true"/,$p' "$1" | sed -nE 's/.*openat\([^"]*"([^"]*)".*= [0-9]+$/\1/p' | sort -u; }
is "$(comm -13 <(opened "$work/bare") <(opened "$work/loaded") | sed 's/.*\///' | sort)" $'libgcc_s.so.1\nliblonet.so' \
    "no file but the library and what it needs"
[ ! -e "$TMPDIR/lonet" ] || fail "a network was started"
is "$(lonet run -H α -- /bin/true && ls "$TMPDIR/lonet")" "$LONET_NETWORK" "lonet run itself does start the network"
