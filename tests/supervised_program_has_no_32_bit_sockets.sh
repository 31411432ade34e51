#!/bin/bash
# A supervised program's 32-bit system calls for sockets, and those that set the machine's name, fail, so that no socket of it,
# however it was made, leads to the machine's network; its other 32-bit calls work, and do not take it out of its supervisor's
# reach.
. "$(dirname "$0")/scenario.bash"
need cc python3

if [ "$(uname -m)" != x86_64 ]; then
    echo "skipped: only x86-64 has 32-bit system calls in 64-bit programs"
    exit 0
fi
mkdir "$work/src"
cat >"$work/src/calls.c" <<'C'
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* A call by its number for i386: its result, or -errno. Pointers are below 4 GiB. */
static int call(int number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
	long result;
	register uintptr_t sixth __asm__("r12") = f;
	__asm__ volatile("xchg %%rbp, %%r12\n\tint $0x80\n\txchg %%rbp, %%r12"
			 : "=a"(result), "+r"(sixth)
			 : "a"((long)number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

enum { GETPID = 20, SETHOSTNAME = 74, SETDOMAINNAME = 121, SOCKETCALL = 102, PRCTL = 172, RECVMMSG = 337, SENDMMSG = 345, SOCKET = 359, BIND = 361, CONNECT, LISTEN,
       ACCEPT4, GETSOCKOPT, SETSOCKOPT, GETSOCKNAME, GETPEERNAME, SENDTO, SENDMSG, RECVFROM, RECVMSG };

/* What the calls take. */
struct in_reach {
	struct sockaddr_in to;
	uint32_t arguments[6], parts[2], message[8], len;
	int one;
	char text[8];
};

static void is_none(const char *name, int result)
{
	if (result != -ENOSYS)
		printf("%s: %s\n", name, result < 0 ? strerror(-result) : "is there");
}

/* calls PORT: makes all calls with a socket that was made by a 64-bit one, and says which of them exist. The port is one of the
 * machine's, which none reaches. */
int main(int argc, char **argv)
{
	struct in_reach *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (argc < 2 || m == MAP_FAILED)
		return perror("mmap"), 1;
	uintptr_t to = (uintptr_t)&m->to, text = (uintptr_t)m->text, len = (uintptr_t)&m->len, one = (uintptr_t)&m->one;
	int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	m->to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
	m->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	m->len = sizeof m->to, m->one = 1;
	m->parts[0] = text, m->parts[1] = sizeof m->text;
	/* As the first member of a mmsghdr, too. */
	m->message[0] = to, m->message[1] = sizeof m->to, m->message[2] = (uintptr_t)m->parts, m->message[3] = 1;
	m->arguments[0] = AF_INET, m->arguments[1] = SOCK_STREAM;
	uintptr_t message = (uintptr_t)m->message;

	/* Such a length is invalid, whoever asks. */
	is_none("sethostname", call(SETHOSTNAME, text, -1, 0, 0, 0, 0));
	is_none("setdomainname", call(SETDOMAINNAME, text, -1, 0, 0, 0, 0));
	is_none("socketcall", call(SOCKETCALL, 1, (uintptr_t)m->arguments, 0, 0, 0, 0));
	is_none("socket", call(SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0, 0));
	is_none("sendto with MSG_FASTOPEN", call(SENDTO, tcp, text, 8, MSG_FASTOPEN, to, sizeof m->to));
	is_none("sendmsg with MSG_FASTOPEN", call(SENDMSG, tcp, message, MSG_FASTOPEN, 0, 0, 0));
	is_none("sendmmsg with MSG_FASTOPEN", call(SENDMMSG, tcp, message, 1, MSG_FASTOPEN, 0, 0));
	is_none("bind", call(BIND, tcp, to, sizeof m->to, 0, 0, 0));
	is_none("connect", call(CONNECT, tcp, to, sizeof m->to, 0, 0, 0));
	is_none("listen", call(LISTEN, tcp, 1, 0, 0, 0, 0));
	is_none("accept4", call(ACCEPT4, tcp, to, len, 0, 0, 0));
	is_none("getsockopt", call(GETSOCKOPT, tcp, SOL_SOCKET, SO_REUSEADDR, one, len, 0));
	is_none("setsockopt", call(SETSOCKOPT, tcp, SOL_SOCKET, SO_REUSEADDR, one, sizeof m->one, 0));
	is_none("getsockname", call(GETSOCKNAME, tcp, to, len, 0, 0, 0));
	is_none("getpeername", call(GETPEERNAME, tcp, to, len, 0, 0, 0));
	is_none("sendto", call(SENDTO, udp, text, 8, MSG_DONTWAIT, to, sizeof m->to));
	is_none("sendmsg", call(SENDMSG, udp, message, MSG_DONTWAIT, 0, 0, 0));
	is_none("sendmmsg", call(SENDMMSG, udp, message, 1, MSG_DONTWAIT, 0, 0));
	is_none("recvfrom", call(RECVFROM, udp, text, 8, MSG_DONTWAIT, to, len));
	is_none("recvmsg", call(RECVMSG, udp, message, MSG_DONTWAIT, 0, 0, 0));
	is_none("recvmmsg", call(RECVMMSG, udp, message, 1, MSG_DONTWAIT, 0, 0));
	if (call(GETPID, 0, 0, 0, 0, 0, 0) != getpid())
		puts("getpid: another one");
	if (call(PRCTL, PR_SET_DUMPABLE, 0, 0, 0, 0, 0) || prctl(PR_GET_DUMPABLE) != 1)
		puts("prctl: it is not dumpable");
	/* Carried out by the supervisor. */
	if (connect(tcp, (struct sockaddr *)&m->to, sizeof m->to) == 0 || errno != ECONNREFUSED)
		puts("connect: its 64-bit calls are broken");
	puts("over");
	return 0;
}
C
cc -static -o "$work/src/calls" "$work/src/calls.c"
# Whom any of them would reach.
cat >"$work/machine.py" <<'P'
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    s.accept()
    print("reached", flush=True)
P
start machine python3 "$work/machine.py"
until_true test -s "$work/machine"
port=$(<"$work/machine")
if ! "$work/src/calls" "$port" >"$work/natively"; then
    echo "skipped: this kernel has no 32-bit system calls"
    exit 0
fi
like "$(<"$work/natively")" "sendto with MSG_FASTOPEN: is there" "without lonet they are there"
until_true grep -q reached "$work/machine"
reached() { grep -c reached "$work/machine"; }
before=$(reached)
is "$(lonet run --host a -- "$work/src/calls" "$port")" over "supervised, none of those for sockets is, and others work"
# The machine's server accepts in order: what came before this connection it has accepted.
python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' "$port"
more() { [ "$(reached)" -gt "$before" ]; }
until_true more
is "$(reached)" $((before + 1)) "nothing of the machine's is reached"
