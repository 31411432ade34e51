/* A socket passed in a message holds its port until it is closed in the last process that has it, or could
 * still receive it. */
#include "lonet.h"

static void send_fd(int via, int fd)
{
	char byte = '!';
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	if (sendmsg(via, &m, 0) != 1)
		bail("sendmsg");
}

static int receive_fd(int via)
{
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	int fd = -1;
	if (recvmsg(via, &m, 0) != 1 || m.msg_controllen < CMSG_LEN(sizeof(int)))
		bail("recvmsg");
	memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
	return fd;
}

static int server;

static int a_bound(void)
{
	return bound_to_next("0.0.0.0");
}

static int a_listener(void)
{
	return listener("0.0.0.0", 0);
}

static int a_dialed(void)
{
	return dial("127.0.0.1", port_of(server));
}

static int (*const kinds[])(void) = { a_bound, a_listener, a_dialed };
static const char *const shown[] = { "a bound socket", "a listener", "a connection" };

int main(void)
{
	server = listener("127.0.0.1", 0);
	for (int k = 0; k < 3; k++) {
		int pair[2], ready[2], go[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			bail("socketpair");
		make_pipe(ready);
		make_pipe(go);

		int fd = kinds[k]();
		send_fd(pair[0], fd);
		close(fd);
		is_int(next_port(), 3, "%s in flight holds its port", shown[k]);
		fd = receive_fd(pair[1]);
		is_int(port_of(fd), 2, "%s that was received has its port", shown[k]);
		close(fd);
		is_int(next_port(), 2, "%s that its receiver has closed holds none", shown[k]);

		pid_t pid = fork_child();
		if (pid == 0) {
			int got = receive_fd(pair[1]);
			close(pair[0]);
			close(pair[1]);
			say(ready[1]);
			hear(go[0]);
			close(got);
			say(ready[1]);
			hear(go[0]);
			_exit(0);
		}
		fd = kinds[k]();
		send_fd(pair[0], fd);
		close(fd);
		hear(ready[0]);
		is_int(next_port(), 3, "%s in another process holds its port", shown[k]);
		say(go[1]);
		hear(ready[0]);
		is_int(next_port(), 2, "%s closed by that process holds none", shown[k]);
		fd = kinds[k]();
		send_fd(pair[0], fd);
		close(fd);
		say(go[1]);
		reap(pid);
		is_int(next_port(), 3, "%s in flight outlives its receiver", shown[k]);
		close(pair[0]);
		is_int(next_port(), 3, "%s in flight outlives one end of the pair", shown[k]);
		close(pair[1]);
		is_int(next_port(), 2, "%s lost in flight holds none", shown[k]);
		close_all(ready, 2);
		close_all(go, 2);
	}
	return done();
}
