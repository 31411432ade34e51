#!/bin/bash
# What LD_PRELOAD does not reach is recognised before it starts, with the reason: by `lonet check`, by `lonet run`, which
# supervises it, or does not start it where that cannot be, and on stderr when a host's program starts it. --unhooked runs it.
#
# Not here: a program that asks glibc for a newer version than the machine's does not start anywhere; an older glibc than
# liblonet.so needs is told by ld.so, which does not start the program (scripts/check-exports says the version).
. "$(dirname "$0")/../scenario.bash"
need as cc ld musl-gcc readelf setcap setpriv

cat >"$work/main.c" <<'C'
int main(void) { return 7; }
C
cd "$work"
cc -o plain main.c
cc -static -o static main.c
cc -static-pie -o static-pie main.c
musl-gcc -o musl main.c
musl-gcc -static -o musl-static main.c
# A program of 32 bits, without the libraries that cc -m32 would need.
as --32 -o i386.o - <<<'.globl _start
_start: mov $1, %eax; mov $7, %ebx; int $0x80'
ld -m elf_i386 -o i386 i386.o
# The note that Go's linker leaves, in a dynamically linked program (cgo).
cc -o go-note main.c -x assembler - <<<'.section .note.go.buildid, "a", @note
.long 4, 4, 4
.ascii "Go\0\0abcd"'
printf '#!%s\n' "$work/static" >script && printf '#!/usr/bin/env %s\n' "$work/musl" >env-script
chmod +x script env-script
# What changes the user is another user's: only root can make it, and otherwise the machine's su is one.
if [ "$(id -u)" = 0 ]; then
    cp plain set-user && chown 65534 set-user && chmod u+s set-user
else
    ln -s "$(command -v su)" set-user
fi

# said NAME WHY [WHEN A HOST STARTS IT]
said() {
    # Where there is no lonet command that could supervise it. At the same time the program runs: its user has been told.
    like "$(lonet run -H α -- env LONET_BIN=/no/lonet sh -c '"$0" </dev/null; true' "$work/$1" 2>&1)" "lonet: [^"$'\n'"]*${3:-$2}" "a host's shell starts $1"
}
# not_run NAME WHY OPTION…
not_run() {
    code 126 lonet run -H α "${@:3}" -- "$work/$1"
    like "$err" "^lonet: [^"$'\n'"]*$2[^"$'\n'"]*--unhooked" "lonet run ${*:3} $1"
    is "$out" "" "$1 has not run"
}
refused() {
    code 126 lonet check "$work/$1"
    like "$err" "^lonet: [^"$'\n'"]*$2[^"$'\n'"]*\$" "lonet check $1"
    not_run "$1" "$2"
    not_run "$1" "$2" --supervise always
    said "$@"
}
supervised() {
    code 0 lonet check "$work/$1"
    like "$out" "^[^"$'\n'"]*$2[^"$'\n'"]*: it is supervised\$" "lonet check $1"
    not_run "$1" "$2" --supervise never
    code 7 lonet run -H a -- "$work/$1"
    code 7 lonet run -H a -- sh -c '"$0"; exit $?' "$work/$1"
    is "$err" "" "a host's shell starts $1"
    said "$@"
}
supervised static "is statically linked"
supervised static-pie "is statically linked"
supervised musl-static "is statically linked"
supervised musl "C library"
supervised go-note "is a Go program"
supervised script "is run by .*static.*is statically linked"
supervised env-script "is run by .*musl.*C library" "musl is linked with musl, a C library"
refused i386 "is a program for"
refused set-user "set-user-ID to user"
code 7 lonet run --unhooked -H α -- "$work/static"
echo "ok: --unhooked runs it"

# The library is loaded, and does not see what the program asks the kernel for by itself: as Free Pascal's programs do.
if [ "$(uname -m)" = x86_64 ]; then
    cc -o own main.c -x assembler - <<<'mov $42, %eax
    syscall
    ret'
    printf '#!%s\n' "$work/own" >own-script && chmod +x own-script
    for program in own own-script; do
        code 1 lonet check "$work/$program"
        like "$err" "^lonet: [^"$'\n'"]*system calls of its own[^"$'\n'"]*cannot tell[^"$'\n'"]*\$" "lonet check $program"
    done
    code 7 lonet run -H α -- "$work/own"
    is "$err" "" "lonet run runs what it cannot tell about"
fi

code 0 lonet check "$work/plain"
is "$out$err" "\"$work/plain\" can be hooked" "lonet check of what can be hooked"
code 7 lonet run -H α -- "$work/plain"
# A static program that loads another one as LD_PRELOAD says.
loader=$(readelf -l plain | sed -n 's/.*interpreter: \(.*\)]/\1/p')
code 7 lonet run -H α -- "$loader" "$work/plain"
code 127 lonet check no-such-program
code 126 lonet check "$work/main.c"

# Capabilities are nothing to root, who has them all.
if [ "$(id -u)" = 0 ] && cp plain capable && setcap cap_net_bind_service=ep capable 2>/dev/null; then
    chmod 711 "$work" && chmod 755 capable
    code 126 setpriv --reuid=65534 --regid=65534 --clear-groups lonet check "$work/capable"
    like "$err" 'capabilities by its file' "lonet check capable, as nobody"
    code 0 lonet check "$work/capable"
fi
