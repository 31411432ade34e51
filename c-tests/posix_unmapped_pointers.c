/* Pointers into unmapped memory, on the main thread and on another: the kernel reports EFAULT where it
 * would, and pointers that it would not look at do not matter. */
#include "net.h"
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/utsname.h>

extern char **environ;

static char *edge; /* Where a page ends, and no other follows. */
static int udp, stream, other;

static void calls_with_an_address(const char *what, void *bad)
{
	char c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr name = { .msg_name = bad, .msg_namelen = 16, .msg_iov = &iov, .msg_iovlen = 1 };
	struct msghdr parts = { .msg_iov = bad, .msg_iovlen = 1 };
	struct mmsghdr two[2] = { { .msg_hdr = name }, { .msg_hdr = name } };

	is_err(bind(stream, bad, 16), EFAULT, "%s: bind", what);
	is_err(bind(-1, bad, 16), EBADF, "%s: bind of nothing", what);
	is_err(bind(stream, bad, 3), EFAULT, "%s: bind, a short address", what);
	is_err(bind(stream, bad, 129), EINVAL, "%s: bind, a long address", what);
	is_err(connect(stream, bad, 16), EFAULT, "%s: connect", what);
	is_err(connect(udp, bad, 16), EFAULT, "%s: connect, UDP", what);
	is_err(connect(-1, bad, 16), EBADF, "%s: connect of nothing", what);
	is_err(connect(stream, bad, 0), EINVAL, "%s: connect, length 0", what);
	is_err(sendto(udp, &c, 1, 0, bad, 16), EFAULT, "%s: sendto", what);
	is_err(sendto(stream, &c, 1, MSG_FASTOPEN, bad, 16), EFAULT, "%s: sendto with MSG_FASTOPEN", what);
	is_err(sendmsg(udp, &name, 0), EFAULT, "%s: sendmsg, the name", what);
	is_err(sendmsg(udp, &parts, 0), EFAULT, "%s: sendmsg, the parts", what);
	is_err(sendmsg(stream, &name, MSG_FASTOPEN), EFAULT, "%s: sendmsg with MSG_FASTOPEN, the name", what);
	is_err(sendmsg(udp, bad, 0), EFAULT, "%s: sendmsg", what);
	is_err(sendmsg(stream, bad, MSG_FASTOPEN), EFAULT, "%s: sendmsg with MSG_FASTOPEN", what);
	is_err(sendmmsg(udp, bad, 1, 0), EFAULT, "%s: sendmmsg", what);
	is_err(sendmmsg(udp, two, 2, 0), EFAULT, "%s: sendmmsg, the names", what);
	union sa to;
	socklen_t len = sizeof to;
	if (getsockname(other, &to.any, &len) < 0)
		bail("getsockname");
	two[0].msg_hdr.msg_name = &to;
	is_int(sendmmsg(udp, two, 2, 0), 1, "%s: sendmmsg, the second name", what);
	is_int(recv(other, &c, 1, 0), 1, "%s: sendmmsg, what came before it is sent", what);
}

static void calls_that_fill(const char *what, void *bad)
{
	union sa a;
	socklen_t len = sizeof a;
	char c;
	int one = 1, ls = listener("127.0.0.1", 0), d = dial("127.0.0.1", port_of(ls)), fd = take(ls);

	is_err(getsockname(ls, bad, &len), EFAULT, "%s: getsockname", what);
	is_err(getsockname(ls, &a.any, bad), EFAULT, "%s: getsockname, the length", what);
	is_err(getpeername(fd, bad, &len), EFAULT, "%s: getpeername", what);
	is_err(getpeername(fd, &a.any, bad), EFAULT, "%s: getpeername, the length", what);
	is_err(getpeername(-1, bad, bad), EBADF, "%s: getpeername of nothing", what);
	is_err(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, bad, sizeof one), EFAULT, "%s: setsockopt", what);
	is_err(getsockopt(ls, SOL_SOCKET, SO_REUSEADDR, bad, &len), EFAULT, "%s: getsockopt", what);
	len = sizeof a.v4;
	is_err(getsockopt(fd, SOL_SOCKET, SO_PEERNAME, bad, &len), EFAULT, "%s: getsockopt of the peer", what);
	is_err(getsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, bad), EFAULT, "%s: getsockopt, the length", what);

	len = sizeof a;
	fcntl(ls, F_SETFL, O_NONBLOCK);
	is_err(accept(ls, bad, &len), EAGAIN, "%s: accept, nobody there", what);
	for (int i = 0; i < 2; i++) {
		int caller = dial("127.0.0.1", port_of(ls));
		len = sizeof a;
		is_err(i ? accept(ls, &a.any, bad) : accept(ls, bad, &len), EFAULT, "%s: accept%s", what,
		       i ? ", the length" : "");
		is_err(accept(ls, NULL, bad), EAGAIN, "%s: accept: the connection is taken", what);
		is_int(recv(caller, &c, 1, 0), 0, "%s: accept: and closed", what);
		close(caller);
	}
	int caller = dial("127.0.0.1", port_of(ls));
	is_int((one = accept(ls, NULL, bad)) < 0, 0, "%s: accept without an address, the length", what);
	close(one);
	close(caller);

	is_err(recvmsg(udp, bad, MSG_DONTWAIT), EFAULT, "%s: recvmsg", what);
	is_err(recvmmsg(udp, bad, 1, MSG_DONTWAIT, NULL), EFAULT, "%s: recvmmsg", what);
	is_err(recvfrom(udp, &c, 1, MSG_DONTWAIT, bad, &len), EAGAIN, "%s: recvfrom, nothing there", what);
	is_err(recvfrom(udp, &c, 1, MSG_DONTWAIT, &a.any, bad), EAGAIN, "%s: recvfrom, the length, nothing there", what);
	len = sizeof a;
	if (getsockname(udp, &a.any, &len) < 0 || sendto(other, "y", 1, 0, &a.any, len) != 1)
		bail("sendto");
	is_int(recvfrom(udp, &c, 1, 0, NULL, bad), 1, "%s: recvfrom without an address, the length", what);
	is_err(uname(bad), EFAULT, "%s: uname", what);
	close(ls);
	close(d);
	close(fd);
}

static void calls_that_execute(const char *what, void *bad)
{
	char *const arguments[] = { "true", NULL };
	char *some[] = { "V=1", bad, NULL };
	pid_t pid;

	is_err(execve(bad, arguments, environ), EFAULT, "%s: execve", what);
	is_err(execve("/bin/true", arguments, bad), EFAULT, "%s: execve, the environment", what);
	is_err(execve("/bin/true", arguments, some), EFAULT, "%s: execve, a variable", what);
	is_err(execve("/bin/true", bad, environ), EFAULT, "%s: execve, the arguments", what);
	is_err(execve("/bin/true", some, environ), EFAULT, "%s: execve, an argument", what);
	is_err(execveat(AT_FDCWD, bad, arguments, environ, 0), EFAULT, "%s: execveat", what);
	is_err(execv(bad, arguments), EFAULT, "%s: execv", what);
	is_err(execle("/bin/true", "true", NULL, bad), EFAULT, "%s: execle, the environment", what);
	is_int(posix_spawn(&pid, bad, NULL, NULL, arguments, environ), EFAULT, "%s: posix_spawn", what);
	is_int(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, bad), EFAULT, "%s: posix_spawn, the environment", what);
}

static void *all(void *where)
{
	const struct { const char *what; char *at; } bad[] = {
		{ "unmapped", edge },
		{ "beyond all memory", (char *)-1 },
		{ "the last byte of a page", edge - 1 },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char what[64];
		snprintf(what, sizeof what, "%s, %s", (char *)where, bad[i].what);
		calls_with_an_address(what, bad[i].at);
		if (i == 2)
			continue;
		calls_that_fill(what, bad[i].at);
		calls_that_execute(what, bad[i].at);
	}
	return NULL;
}

/* Whole addresses at the very end of the memory that there is. */
static void at_the_edge(void)
{
	union sa a = at("127.0.0.1", 0);
	int ls = tcp("127.0.0.1"), d = tcp("127.0.0.1");
	struct sockaddr *last = (struct sockaddr *)(edge - sizeof a.v4);
	memcpy(last, &a.v4, sizeof a.v4);
	is_err(bind(ls, last, sizeof a.v4), 0, "bind: an address at the edge");
	if (listen(ls, 1) < 0)
		bail("listen");
	a = at("127.0.0.1", port_of(ls));
	memcpy(last, &a.v4, sizeof a.v4);
	is_err(connect(d, last, sizeof a.v4), 0, "connect: an address at the edge");
	socklen_t len = sizeof a.v4;
	memset(last, 0, len);
	int fd = accept(ls, last, &len);
	is_int(fd < 0, 0, "accept: a buffer at the edge");
	memcpy(&a, last, sizeof a.v4);
	is_str(text(&a), sockname(d), "accept: the address is in it");
	close(ls);
	close(d);
	close(fd);
}

int main(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (two == MAP_FAILED || munmap(two + page, page) < 0 ||
	    mmap(two + page, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		bail("mmap");
	edge = two + page;
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	other = socket(AF_INET, SOCK_DGRAM, 0);
	stream = tcp("127.0.0.1");
	if (bind_to(udp, "127.0.0.1", 0) < 0 || bind_to(other, "127.0.0.1", 0) < 0)
		bail("bind");

	at_the_edge();
	all("main");
	pthread_t thread;
	if (pthread_create(&thread, NULL, all, "thread") || pthread_join(thread, NULL))
		bail("thread");
	return done();
}
