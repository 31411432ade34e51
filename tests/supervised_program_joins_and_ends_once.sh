#!/bin/bash
# Of a supervised program there are events of one process: it joins once and ends once, with its own exit status, also where it
# ends at once, is killed, or lonetd is killed meanwhile. A host lists it once. What it leaves behind is a process of its own.
. "$(dirname "$0")/scenario.bash"
need python3 gcc

cat >"$work/hello.c" <<'C'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* hello IP: dials port 80, and with a second argument waits for its end, or "first" for a line before it dials. Without arguments
 * it does nothing. */
int main(int argc, char **argv)
{
	char byte;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	if (argc > 2 && strcmp(argv[2], "first") == 0 && (puts("waits") < 0 || fflush(stdout) != 0 || read(0, &byte, 1) != 1))
		return 8;
	if (argc > 1) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		inet_pton(AF_INET, argv[1], &to.sin_addr);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
			return 9;
		puts("dialed");
		fflush(stdout);
		while (argc > 2 && read(0, &byte, 1) > 0)
			;
	}
	return 5;
}
C
gcc -static -o "$work/hello" "$work/hello.c" 2>/dev/null || {
    echo "SKIPPED: no static libc"
    exit 0
}
lonet run --host probe --supervise always -- true 2>"$work/err" || {
    echo "SKIPPED: $(<"$work/err")"
    exit 0
}
# Not a script that executes it.
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
ip=$(lonet addr α:80 | sed 's/:.*//')
# HOST: how many processes of it have events, their names, and their events in order.
life() {
    lonet trace --format jsonl >"$work/life"
    python3 - "$1" "$work/life" <<'PY'
import json, sys
events = [json.loads(line) for line in open(sys.argv[2])]
kinds = ("joined", "dial", "connected", "ended")
mine = [e for e in events if e.get("host") == sys.argv[1] and e.get("event") in kinds]
print(len({e["pid"] for e in mine}), " ".join(sorted({e.get("program", "?") for e in mine})))
for e in mine:
    print(e["event"], *(f"{k}={v}" for k, v in e.get("status", {}).items()))
PY
}
# HOST: whether a process of it has ended.
ends() {
    lonet trace --format jsonl | grep -q '"event":"ended","host":"'"$1"'"'
}

code 0 lonet trace --start
code 5 lonet run --host β -- "$work/hello" "$ip"
until_true ends β
is "$(life β)" "1 hello
joined
dial
connected
ended exit=5" "a program that dials has one life"

for n in 1 2 3; do
    code 5 lonet run --host "γ$n" -- "$work/hello"
    until_true ends "γ$n"
    is "$(life "γ$n")" "1 hello
joined
ended exit=5" "and so has one that ends at once"
done

commanded 5 said lonet run --host δ -- "$work/hello" "$ip" waits
until_true grep -q dialed "$work/said"
# HOST: the programs that it lists.
listed() {
    lonet ls --json | python3 -c '
import json, sys
host, = (h for h in json.load(sys.stdin)["hosts"] if h["name"] == sys.argv[1])
print(*(p["program"] for p in host["processes"]))' "$1"
}
is "$(listed δ)" hello "its host lists it once"
kill_lonetd
lonet ls >"$work/list"
exec 5>&-
wait "$pid" || true
until_true ends δ
is "$(life δ)" "1 hello
joined
dial
connected
ended exit=5" "and it ends once if lonetd was killed meanwhile"

# Without --host it is no host until it dials.
commanded 5 said lonet run -q --supervise always -- "$work/hello" "$ip" first
until_true grep -q waits "$work/said"
kill_lonetd
echo >&5
until_true grep -q dialed "$work/said"
exec 5>&-
wait "$pid" || true
until_true ends hello
is "$(life hello)" "1 hello
joined
dial
connected
ended exit=5" "and joins as it dials if lonetd was killed before"

# A program of a host executes it, and is no more.
commanded 5 said lonet run --host ζ -- bash -c 'exec lonet run --supervise always -- "$@"' - "$work/hello" "$ip" waits
until_true grep -q dialed "$work/said"
is "$(listed ζ)" hello "who executes it is not listed any more"
exec 5>&-
wait "$pid" || true
has_ended() { life ζ | grep -q "ended exit=5"; }
until_true has_ended
is "$(life ζ)" "2 bash hello
joined
ended
joined
dial
connected
ended exit=5" "and has ended before"

cat >"$work/parent.py" <<'PY'
import os
if os.fork() == 0:
    os.execlp("sleep", "sleep", "1000")
os.kill(os.getpid(), 9)
PY
code 137 bash -c "lonet run --host ε --supervise always -- $python $work/parent.py; exit \$?"
until_true ends ε
# Children that have sent no message are searched for.
code 0 lonet pause ε
is "$(life ε)" "2 $(basename "$python") sleep
joined
ended signal=SIGKILL
joined" "a process that it has left behind is one of its own"
code 0 lonet kill ε
