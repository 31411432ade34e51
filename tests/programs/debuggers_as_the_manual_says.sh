#!/bin/bash
# gdb, strace, valgrind and an editor's launch.json debug programs as hosts, static ones too, by the lines of lonet(1), "Debuggers
# and tracers".
. "$(dirname "$0")/../scenario.bash"
need cc gdb python3 strace valgrind

export DEBUGINFOD_URLS=
# Below, so that a failure shows the logs alone.
mkdir "$work/src" && cd "$work/src"
cat >program.c <<'C'
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
	char name[256] = "";
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 1) || gethostname(name, sizeof name))
		return perror("program"), 1;
	fprintf(stderr, "It is %s.\n", name);
	return 0;
}
C
cc -g -o hooked program.c
cc -g -static -o static program.c
block='/^\.Ss Debuggers and tracers/,/^\.Sh/p'
section=$(sed -n "$block" "$tests/../man/lonet.1")
recipe() { grep -x "lonet run --host web $1" <<<"$section" | sed "s|PROGRAM|./$2|"; }
# recipes LINE PROGRAM WHAT…: the line of the page, with a program for PROGRAM, does what it is there for.
recipes() {
    local line
    line=$(recipe "$1" "$2")
    [ -n "$line" ] || fail "lonet(1) has no line \"$1\""
    bash -c "$line" <"$work/commands" >"$work/out" 2>&1 || true
    out=$(<"$work/out")
    like "$out" "It is web\\.lonet" "a host by: $line"
    [ $# = 2 ] || like "$out" "$3" "which sees the program itself"
}
printf '%s\n' 'break main' run continue >"$work/commands"
recipes "-- gdb --args PROGRAM" hooked "Breakpoint 1, main"
recipes "-- strace -f -e trace=network PROGRAM" hooked "listen\\("
recipes "-- valgrind PROGRAM" hooked "ERROR SUMMARY: 0 errors"
recipes "--supervise always -- gdb --args PROGRAM" static "Breakpoint 1, main"
recipes "--supervise always -- strace -f -e trace=network PROGRAM" static "listen\\("

# Without the option it is said what is debugged.
bash -c "$(recipe "-- gdb --args PROGRAM" static)" <<<run >"$work/out" 2>&1 || true
like "$(<"$work/out")" 'lonet: gdb traces a process of lonet'\''s, which supervises "[^"]*static": .* by `lonet run --supervise always`' "gdb's user is told"

# An editor: the file of variables, and launch.json as it is read and passed on to gdb.
ln hooked PROGRAM
bash -ec "$(grep -A 1 -x 'mkdir -p .vscode' <<<"$section")"
awk '/^{$/ { inside = 1 } inside { print } /^}$/ { exit }' <<<"$section" >.vscode/launch.json
cat >editor.py <<'PY'
import json, os, sys
configuration, = json.load(open(".vscode/launch.json"))["configurations"]
place = lambda text: text.replace("${workspaceFolder}", os.getcwd())
print("-gdb-set startup-with-shell on")
for line in open(place(configuration["envFile"])):
    name, value = line.rstrip("\n").split("=", 1)
    print(f"-gdb-set environment {name}={value}")
print(f'-environment-cd {place(configuration["cwd"])}')
print(f'-file-exec-and-symbols {place(configuration["program"])}')
print("-break-insert main")
print("-exec-run")
PY
# The program is the first of its network, and starts lonetd, of which its debugger sees nothing.
lonet down --kill
{
    python3 editor.py
    until_true grep -q 'breakpoint-hit' "$work/mi"
    echo -exec-continue
    until_true grep -q 'exited-normally' "$work/mi"
    echo -gdb-exit
} | gdb -nx --interpreter=mi2 >"$work/mi" 2>&1 || true
like "$(<"$work/mi")" "It is web\\.lonet" "a host by launch.json"
