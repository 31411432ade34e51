/* Sockets passed over an AF_UNIX socket stay what they are: a listener, a connection, a bound socket. */
#include "net.h"
#include <sys/un.h>

static void pass(int over, int fd)
{
	char room[CMSG_SPACE(sizeof fd)] = "", byte = 'f';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (sendmsg(over, &msg, MSG_NOSIGNAL) != 1)
		bail("sendmsg");
}

static int receive(int over)
{
	char room[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
	int fd;
	if (recvmsg(over, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		bail("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
	return fd;
}

/* Gets a bound socket and a connection; listens on the one, greets on the other, gives back what it accepts. */
static void child(int over)
{
	int ls = receive(over), fd = receive(over);
	if (listen(ls, 8) < 0)
		_exit(1);
	if (send(fd, peername(fd), strlen(peername(fd)) + 1, MSG_NOSIGNAL) < 0)
		_exit(2);
	pass(over, take(ls));
	_exit(hear(over));
}

int main(void)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		bail("socketpair");
	pid_t pid = fork_child();
	if (pid == 0) {
		close(pair[0]);
		child(pair[1]);
	}
	close(pair[1]);

	/* Made after the fork, so that the child has them by passing alone. */
	int ls = bound("127.0.0.1", 0), port = port_of(ls);
	int other = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(other)), accepted = take(other);
	pass(pair[0], ls);
	pass(pair[0], accepted);
	close(ls);
	close(accepted);

	char called[80] = "";
	ok(recv(fd, called, sizeof called, 0) > 0, "the receiver has the connection");
	is_str(called, sockname(fd), "under its name");

	int caller = dial("127.0.0.1", port);
	int back = receive(pair[0]);
	is_str(sockname(back), name("127.0.0.1", port), "an accepted connection passed back has the listener's port");
	is_str(peername(back), sockname(caller), "and its caller's name");
	ok(passes(caller, back), "and carries bytes");

	/* A listener in flight is open, though no process has a descriptor. */
	int flight[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, flight) < 0)
		bail("socketpair");
	ls = listener("127.0.0.1", 0);
	port = port_of(ls);
	pass(flight[0], ls);
	close(ls);
	is_int(dial_error("127.0.0.1", port), 0, "a listener in flight listens");
	int rival = tcp("127.0.0.1");
	is_err(bind_to(rival, "127.0.0.1", port), EADDRINUSE, "and holds its port");
	ls = receive(flight[1]);
	is_str(sockname(ls), name("127.0.0.1", port), "it arrives under its name");
	close(ls);
	close(pair[0]);
	is_int(reap(pid), 0, "the receiver ended well");
	return done();
}
