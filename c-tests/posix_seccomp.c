/* In a sandbox that allows each call only its own system call, calls that do not concern a network still work. One
 * more system call would kill the child with SIGSYS.
 *
 * exec is left out: a sandbox that lets a program be loaded allows opening and mapping files, too. */
#include "net.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>

/* From here on this thread may make this system call and exit. */
static void allow(long nr)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof rules / sizeof *rules, rules };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(2);
}

/* Runs `call` in a sandbox with that system call alone; it is to answer as it does outside. */
#define in_sandbox(nr, call, what)                                                      \
	do {                                                                            \
		fflush(stdout);                                                         \
		pid_t pid = fork();                                                     \
		if (pid == 0) {                                                         \
			allow(nr);                                                      \
			_exit((call) ? 0 : 1);                                          \
		}                                                                       \
		is_int(reap(pid), 0, "%s", what);                                       \
	} while (0)

/* An address elsewhere, among the variables of the program, and a socket to dial it with. */
static union sa among_variables;
static int far;

static void *dial_from_a_threads_stack(void *unused)
{
	union sa outside = among_variables;
	(void)unused;
	allow(SYS_connect);
	connect(far, &outside.any, sizeof outside.v4);
	_exit(0);
}

/* In a child of a fork, which is to end with 0. */
static int dial_in_a_thread(void)
{
	pthread_t thread;
	return pthread_create(&thread, NULL, dial_from_a_threads_stack, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

int main(void)
{
	int pair[2], udp = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	int ls = socket(AF_UNIX, SOCK_STREAM, 0), fresh = socket(AF_UNIX, SOCK_STREAM, 0), pipes[2];
	int stream = tcp("127.0.0.1");
	struct sockaddr_un name = { .sun_family = AF_UNIX }, free_name = { .sun_family = AF_UNIX };
	union sa outside = at("192.0.2.1", 9), far6 = at("2001:db8::1", 9), a;
	socklen_t len = sizeof a, n;
	char c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr many = { .msg_hdr = msg };
	struct utsname u;

	/* Abstract names, which need no file. */
	snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "posix_seccomp.%d", getpid());
	snprintf(free_name.sun_path + 1, sizeof free_name.sun_path - 1, "posix_seccomp.free.%d", getpid());
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || bind(ls, (struct sockaddr *)&name, sizeof name) < 0 ||
	    listen(ls, 8) < 0 || bind_to(udp, "127.0.0.1", 0) < 0 || getsockname(udp, &a.any, &len) < 0)
		bail("sockets");
	make_pipe(pipes);
	fcntl(ls, F_SETFL, O_NONBLOCK);

	in_sandbox(SYS_close, close(pipes[0]) == 0, "close of a pipe");
	in_sandbox(SYS_close, close(pair[0]) == 0, "close of an AF_UNIX socket");
	in_sandbox(SYS_close, close(udp) == 0, "close of a UDP socket");
	in_sandbox(SYS_close, close(-1) < 0 && errno == EBADF, "close of nothing");
	in_sandbox(SYS_dup2, dup2(pipes[0], pipes[1]) == pipes[1], "dup2");
	in_sandbox(SYS_dup3, dup3(pipes[0], pipes[1], O_CLOEXEC) == pipes[1], "dup3");
	in_sandbox(SYS_close_range, close_range(100, 200, 0) == 0, "close_range");
	in_sandbox(SYS_close_range, (closefrom(3), 1), "closefrom");
	in_sandbox(SYS_bind, bind(fresh, (struct sockaddr *)&free_name, sizeof free_name) == 0, "bind, AF_UNIX");
	in_sandbox(SYS_bind, bind(fresh, &outside.any, sizeof outside.v4) < 0 && errno == EINVAL,
		   "bind to an address of another family");
	in_sandbox(SYS_accept, accept(ls, NULL, NULL) < 0 && errno == EAGAIN, "accept, AF_UNIX");
	in_sandbox(SYS_accept4, accept4(ls, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN, "accept4, AF_UNIX");
	in_sandbox(SYS_connect, connect(fresh, (struct sockaddr *)&name, sizeof name) == 0, "connect, AF_UNIX");
	in_sandbox(SYS_connect, connect(stream, NULL, 16) < 0 && errno == EFAULT, "connect to nowhere");
	in_sandbox(SYS_getsockname, getsockname(-1, &a.any, &n) < 0 && errno == EBADF, "getsockname of nothing");
	in_sandbox(SYS_getpeername, getpeername(-1, &a.any, &n) < 0 && errno == EBADF, "getpeername of nothing");
	in_sandbox(SYS_setsockopt, setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0, "setsockopt");
	in_sandbox(SYS_getsockopt, (n = sizeof one, getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &one, &n) == 0), "getsockopt");
	in_sandbox(SYS_sendto, sendto(pair[0], &c, 1, MSG_NOSIGNAL, NULL, 0) == 1, "sendto, connected");
	in_sandbox(SYS_sendto, sendto(other, &c, 1, 0, &a.any, sizeof a.v4) == 1, "sendto, UDP");
	in_sandbox(SYS_sendmsg, sendmsg(pair[0], &msg, MSG_NOSIGNAL) == 1, "sendmsg");
	in_sandbox(SYS_sendmmsg, sendmmsg(pair[0], &many, 1, MSG_NOSIGNAL) == 1, "sendmmsg");
	if (send(pair[0], "abc", 3, 0) != 3)
		bail("send");
	in_sandbox(SYS_recvfrom, recvfrom(pair[1], &c, 1, 0, NULL, NULL) == 1, "recvfrom");
	in_sandbox(SYS_recvmsg, recvmsg(pair[1], &msg, 0) == 1, "recvmsg");
	in_sandbox(SYS_recvmmsg, recvmmsg(pair[1], &many, 1, 0, NULL) == 1, "recvmmsg");
	in_sandbox(SYS_uname, uname(&u) == 0, "uname");

	/* Where these lead is the kernel's answer; that they come to it is what counts. */
	int far_v6 = tcp_flags("2001:db8::1", SOCK_NONBLOCK);
	far = tcp_flags("192.0.2.1", SOCK_NONBLOCK);
	in_sandbox(SYS_connect, (connect(far, &outside.any, sizeof outside.v4), 1), "connect, an address elsewhere");
	in_sandbox(SYS_connect, (connect(far_v6, &far6.any, sizeof far6.v6), 1), "connect, an IPv6 address elsewhere");
	in_sandbox(SYS_bind, bind(stream, &outside.any, sizeof outside.v4) < 0, "bind, an address elsewhere");

	/* The address may be anywhere in the program's memory. */
	union sa *in_heap = malloc(sizeof *in_heap);
	*in_heap = among_variables = outside;
	in_sandbox(SYS_connect, (connect(far, &among_variables.any, sizeof outside.v4), 1), "connect, from a variable");
	in_sandbox(SYS_connect, (connect(far, &in_heap->any, sizeof outside.v4), 1), "connect, from the heap");
	in_sandbox(SYS_sendto, (sendto(other, &c, 1, 0, &in_heap->any, sizeof outside.v4), 1), "sendto, from the heap");
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(dial_in_a_thread());
	is_int(reap(pid), 0, "connect, from the stack of a thread");
	return done();
}
