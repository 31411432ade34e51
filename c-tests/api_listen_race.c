/* lonet_listen while another socket begins to listen at the OS address that it has just bound: the port of a host that was
 * closed may still be that of a thread which was about to listen. */
#include "api.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* listen(2) with this backlog waits for main. */
enum { HELD_BACKLOG = 77 };

struct call {
	lonet_host *host;
	int result;
	char message[1100];
	int returned[2];
};

static void *listens(void *arg)
{
	struct call *c = arg;
	c->result = lonet_listen(c->host, "", HELD_BACKLOG);
	snprintf(c->message, sizeof c->message, "%s", c->result < 0 ? lonet_errmsg() : "listens");
	say(c->returned[1]);
	return NULL;
}

/* A descriptor that reports each such call; -1 under valgrind, which does not know seccomp(2). */
static int hold_listen(void)
{
	enum { LOW_HALF = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4 };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_listen, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + LOW_HALF),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HELD_BACKLOG, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0 && errno != ENOSYS)
		bail("seccomp: %s", strerror(errno));
	return fd;
}

/* A socket that listens at the address of another one, which is bound. */
static int listening_beside(int fd)
{
	struct sockaddr_in at;
	socklen_t len = sizeof at;
	int on = 1, other = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	if (syscall(SYS_getsockname, fd, &at, &len) || setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
	    syscall(SYS_bind, other, &at, len) || syscall(SYS_listen, other, 1))
		bail("another listener: %s", strerror(errno));
	return other;
}

int main(void)
{
	int held = hold_listen(), other = -1;
	if (held < 0) {
		puts("1..0 # skip: no seccomp(2)");
		return 0;
	}
	lonet_net *net = joined(NULL);
	lonet_host *beta = host(net, "β", 0);
	struct call c = { .host = host(net, "α", 0) };
	make_pipe(c.returned);
	pthread_t thread;
	if (pthread_create(&thread, NULL, listens, &c))
		bail("pthread_create");

	for (;;) {
		struct pollfd next[2] = { { .fd = held, .events = POLLIN }, { .fd = c.returned[0], .events = POLLIN } };
		if (poll(next, 2, -1) < 0)
			bail("poll: %s", strerror(errno));
		if (next[1].revents)
			break;
		struct seccomp_notif call = { 0 };
		if (ioctl(held, SECCOMP_IOCTL_NOTIF_RECV, &call))
			bail("the call of listen: %s", strerror(errno));
		if (other < 0)
			other = listening_beside((int)call.data.args[0]);
		struct seccomp_notif_resp go_on = { .id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
		if (ioctl(held, SECCOMP_IOCTL_NOTIF_SEND, &go_on))
			bail("the answer to listen: %s", strerror(errno));
	}
	pthread_join(thread, NULL);
	is_str(c.message, "listens", "the listener gets another OS port");
	is_addr(local(c.result), "α:1", "it has the first free port all the same");
	int d = dialed(beta, "α:1");
	struct ends e = accepted(c.result);
	is_addr(e.peer, local(d), "who dials that port reaches it");
	return done();
}
