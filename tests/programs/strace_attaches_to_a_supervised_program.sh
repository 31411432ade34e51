#!/bin/bash
# strace is attached to a supervised server and follows its children: it sees calls with what lonet has answered, and the server
# serves before, meanwhile and afterwards. It traces a supervised program by way of `lonet run`, too.
. "$(dirname "$0")/../scenario.bash"
need cc pgrep python3 strace

welcome
mkdir "$work/src"
cat >"$work/src/server.c" <<'C'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd listens = { fd, POLLIN, 0 };
	/* Where processes may trace their descendants alone, this one may be traced by any of its user's. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	if (bind(fd, (struct sockaddr *)&at, len) || listen(fd, 5))
		return perror("listen"), 1;
	for (;;) {
		/* strace does not see a program in a suspended call (lonet(7)). */
		int call = poll(&listens, 1, -1) == 1 ? accept(fd, (struct sockaddr *)&at, &len) : -1;
		if (call < 0)
			return perror("accept"), 1;
		if (fork() == 0)
			return write(call, "welcome", 7) != 7;
		close(call);
	}
}
C
cc -static -o "$work/src/server" "$work/src/server.c"
start server lonet run --host α -- "$work/src/server"
server=$pid
lonet wait --timeout 120 α:80
program=$(pgrep -P "$(pgrep -P "$server")")
dial() { lonet run --host "$1" -- python3 "$work/dial.py" α.lonet 80; }
is "$(dial β)" welcome "it is dialed"

start strace strace -f -e trace=accept,write,exit_group -o "$work/calls" -p "$program"
strace=$pid
until_true grep -q attached "$work/strace"
is "$(dial γ)" welcome "it is dialed while strace is attached"
until_true grep -q exit_group "$work/calls"
kill "$strace"
wait "$strace" || true
like "$(<"$work/calls")" "$program +accept\([0-9]+, \{sa_family=AF_INET, sin_port=htons\(1\), sin_addr=.*\[16\]\) = [0-9]" "it sees who has dialed"
like "$(<"$work/calls")" "write\([0-9]+, \"welcome\", 7\) += 7" "and what a child does"
is "$(dial δ)" welcome "it is dialed when strace has gone"
is "$(strace -f -qq -e trace=connect -o "$work/all" lonet run --host ε --supervise always -- python3 "$work/dial.py" α.lonet 80)" welcome \
    "lonet run is traced with all that it starts"
