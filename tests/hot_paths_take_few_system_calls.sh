#!/bin/bash
# How many system calls the calls that programs make all the time take, on the side of the program: what a hook adds
# to the kernel's own is counted here, as times are not repeatable. Counted by strace as the difference between many
# calls and few, so that what a process does once falls out. What each path needs them for is said beside the code.
. "$(dirname "$0")/scenario.bash"
need cc strace

mkdir "$work/program"
cat >"$work/program/calls.c" <<'C'
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
static struct sockaddr_in at = { .sin_family = AF_INET };
static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&at, sizeof at) ? -1 : fd;
}
int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 0, null = open("/dev/null", O_RDONLY);
	struct sockaddr_in name, real = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7fff0001) };
	struct addrinfo *found, configured = { .ai_family = AF_INET, .ai_flags = AI_ADDRCONFIG };
	socklen_t len = sizeof at;
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	if (null < 0 || bind(ls, (struct sockaddr *)&at, len) || listen(ls, 128) ||
	    getsockname(ls, (struct sockaddr *)&at, &len))
		return 1;
	int fd = dial();
	if (fd < 0 || accept(ls, (struct sockaddr *)&name, &len) < 0)
		return 1;
	for (int i = 0; argv[1][0] == 'h' && i < 10; i++)
		if (dial() < 0 || close(accept(ls, NULL, NULL)))
			return 1;
	int told[2];
	char c = 0;
	pid_t other = pipe(told) || !strchr("adhx", argv[1][0]) ? 0 : fork();
	if (other > 0 && argv[1][0] == 'a' && read(told[0], &c, 1) != 1)
		return 1;
	for (int i = 0; i < n; i++) {
		switch (argv[1][0]) {
		case 'd': /* a dial, which another process accepts */
			if (other == 0 ? accept(ls, (struct sockaddr *)&name, &len) < 0 : dial() < 0)
				return 1;
			break;
		case 'a': /* accept, with the peer's address, of a connection that another process has made */
			if (other == 0 ? dial() < 0 : accept(ls, (struct sockaddr *)&name, &len) < 0)
				return 1;
			break;
		case 'h': /* the same beside ten connections that their other ends have closed */
		case 'x': /* a dial and its close */
			if (other == 0 ? accept(ls, (struct sockaddr *)&name, &len) < 0 : close(dial()))
				return 1;
			break;
		case 'n': /* the socket's own name */
			if (getsockname(fd, (struct sockaddr *)&name, &len))
				return 1;
			break;
		case 'p': /* its peer's name */
			if (getpeername(fd, (struct sockaddr *)&name, &len))
				return 1;
			break;
		case 'c': /* close of what is no lonet socket, and the dup before it */
			close(dup(null));
			break;
		case 'e': /* connect to elsewhere, of a socket that is connected already */
			if (connect(fd, (struct sockaddr *)&real, len) == 0)
				return 1;
			break;
		case 'r': /* a name */
			if (getaddrinfo("a.lonet", "80", NULL, &found))
				return 1;
			freeaddrinfo(found);
			break;
		case 'g': /* the same, by the older call */
			if (!gethostbyname("a.lonet"))
				return 1;
			break;
		case 'i': /* the same, if the machine has an address of the family */
			if (getaddrinfo("a.lonet", "80", &configured, &found))
				return 1;
			freeaddrinfo(found);
			break;
		case 'u': /* the name of a host that is not up */
			if (getaddrinfo("b.lonet", "80", NULL, &found))
				return 1;
			freeaddrinfo(found);
		}
	}
	if (strchr("adhx", argv[1][0]) && other == 0) {
		if (write(told[1], &c, 1) == 1)
			pause(); /* until all are accepted */
		return 1;
	}
	return other > 0 && (kill(other, SIGKILL) || waitpid(other, NULL, 0) < 0);
}
C
cc -D_GNU_SOURCE -o "$work/program/calls" "$work/program/calls.c"

# counted COMMAND…: how many system calls of which kind the host a's command makes, a line each.
counted() {
    lonet run -H a -- strace -qq -o "$work/trace" "$@"
    awk -F '(' '/^[a-z0-9_]+\(/ { n[$1]++ }
        END { for (call in n) if (n[call]) print n[call], call }' "$work/trace" | sort -k 2,2
}
# more MANY FEW TIMES: what of which kind, a TIMES-th of the difference between two counts, rounded: where lonetd is
# kept from its work one of many calls may have to ask. How often it is waited for, and woken, is as chance has it.
more() {
    join -12 -22 -a1 -a2 -e0 -o 0,1.1,2.1 <(echo "$1") <(echo "$2") |
        awk -v times="$3" '$2 != $3 {
            n = int(($2 - $3) / times + 0.5)
            if (n && $1 != "futex") { printf "%s%s", sep, n == 1 ? $1 : n " " $1; sep = ", " }
        }'
}
# taken WHAT: what one WHAT takes.
taken() {
    local few many
    few=$(counted "$work/program/calls" "$1" 10)
    many=$(counted "$work/program/calls" "$1" 110)
    more "$many" "$few" 100
}
# takes WHAT CALLS TEXT: it takes these.
takes() { is "$(taken "$1")" "$2" "$3"; }
# takes_like WHAT CALLS TEXT: the same with an extended regular expression.
takes_like() { like "$(taken "$1")" "^$2\$" "$3"; }

takes n "getsockname, getsockopt" "getsockname: the cookie beside it"
takes p "getpeername, getsockname, getsockopt" "getpeername: where the socket is, and the cookie, beside it"
takes a "accept, close, getsockname, 2 getsockopt, ppoll, recvmmsg, sendto, socket" \
    "accept: whether somebody waits, what both sockets are, and the question to the kernel who is at the other end"
takes d "bind, connect, 2 getsockname, 6 getsockopt, 6 setsockopt, socket" \
    "connect: what the socket is, the source port that it shall have, and that it has it; nobody is asked"
# On a busy machine lonetd may have heard of the socket's end before the next dial: then nothing is asked.
takes_like x "bind, (2 )?close, connect, getpid, 2 getsockname, 7 getsockopt, (recvmmsg, sendto, )?6 setsockopt, (2 )?socket" \
    "connect and close: the socket's cookie, and the next dial's question to the kernel whether it has gone"
takes_like h "bind, (2 )?close, connect, getpid, 2 getsockname, 7 getsockopt, ppoll, (recvmmsg, sendto, )?6 setsockopt, (2 )?socket" \
    "beside connections that their other ends have closed: that all of them are still there, without a question"
takes c "close, dup" "close of what is no lonet socket: nothing beside it"
takes e "connect" "connect to elsewhere: nothing beside it"
takes r "getpid" "getaddrinfo: who this is"
takes g "getpid" "gethostbyname: who this is"
takes i "getpid" "getaddrinfo with AI_ADDRCONFIG: who this is"
# The network's directory is reached by descriptor, below that of all networks, and both are looked at: six calls more
# than by path, which another user could have led elsewhere in between.
takes u "5 clock_gettime, 3 close, connect, 2 fstat, getsockopt, 2 openat, recvfrom, sendto, 2 setsockopt, socket" \
    "getaddrinfo of a host that is not up: one question to lonetd"

# A start: the library and what it needs is loaded; the constructor allocates, which a program without a heap of its
# own had not done yet, and asks who the user is.
strace -qq -o "$work/trace" /bin/true
plain=$(grep -oE '^[a-z0-9_]+\(' "$work/trace" | tr -d '(' | sort | uniq -c)
loading='^ *[0-9]+ (openat|read|pread64|fstat|newfstatat|mmap|mprotect|munmap|close|brk|getrandom)$'
is "$(more "$(counted /bin/true | grep -vE "$loading")" "$(grep -vE "$loading" <<<"$plain")" 1)" "geteuid, madvise" \
    "exec of a program without a network: who the user is, and a page for what is not for a child of a fork"
