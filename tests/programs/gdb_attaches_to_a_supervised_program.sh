#!/bin/bash
# gdb attaches to a supervised server that waits in accept, stops it where the next dial is greeted, and lets it go: the dial that
# came meanwhile and a later one are served.
. "$(dirname "$0")/../scenario.bash"
need cc gdb pgrep python3

export DEBUGINFOD_URLS=
welcome
mkdir "$work/src"
cat >"$work/src/server.c" <<'C'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((noinline)) static void greet(int call, int port)
{
	if (write(call, "welcome", 7) != 7)
		perror("write");
	printf("called from %d\n", port);
	fflush(stdout);
	close(call);
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	/* Where processes may trace their descendants alone, this one may be traced by any of its user's. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	if (bind(fd, (struct sockaddr *)&at, len) || listen(fd, 5))
		return perror("listen"), 1;
	for (;;) {
		int call = accept(fd, (struct sockaddr *)&at, &len);
		if (call < 0)
			return perror("accept"), 1;
		greet(call, ntohs(at.sin_port));
	}
}
C
cc -g -static -o "$work/src/server" "$work/src/server.c"
start server lonet run --host α -- "$work/src/server"
lonet wait --timeout 120 α:80
program=$(pgrep -P "$(pgrep -P "$pid")")
dial() { lonet run --host "$1" -- python3 "$work/dial.py" α.lonet 80; }
is "$(dial β)" welcome "it is dialed"
# It has nothing else to wait for than accept.
waits() { grep -q called "$work/server" && [[ $(ps -o stat= -p "$program") == [SD]* ]]; }
until_true waits

start gdb gdb -nx -batch -p "$program" -ex 'break greet' -ex 'echo it is there\n' -ex continue -ex 'print port' -ex delete -ex detach
gdb=$pid
until_true grep -q "it is there" "$work/gdb"
start dial dial γ
dial=$pid
wait "$gdb" || fail "gdb has ended with $?"
like "$(<"$work/gdb")" "Breakpoint 1, greet .*\\\$1 = 1"$'\n' "gdb stops it, and sees the address that accept has returned"
wait "$dial" || fail "the dial has ended with $?"
is "$(<"$work/dial")" welcome "who has dialed meanwhile is served"
is "$(dial δ)" welcome "and so is who dials when gdb has gone"
is "$(<"$work/server")" $'called from 1\ncalled from 1\ncalled from 1' "accept has named each"
