/* A call that succeeds leaves errno alone. */
#include "net.h"
#include <sys/epoll.h>

enum { POISON = 4711 };

#define keeps(call, what)                                                                \
	do {                                                                             \
		errno = POISON;                                                          \
		long kept_got = (call);                                                  \
		int kept_errno = errno;                                                  \
		ok(kept_got >= 0, "%s: %s succeeds", ip, what);                          \
		is_int(kept_errno, POISON, "%s: %s leaves errno alone", ip, what);       \
	} while (0)

static void life(const char *ip, const char *dest)
{
	union sa a;
	socklen_t len;
	int ls = -1, fd = -1, accepted = -1, second = -1, third = -1, one = 1, copy = -1;
	char buf[16];
	struct iovec iov = { buf, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	keeps(ls = socket(family_of(ip), SOCK_STREAM, 0), "socket");
	keeps(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "setsockopt");
	keeps(bind_to(ls, ip, 0), "bind");
	keeps(listen(ls, 8), "listen");
	len = sizeof a;
	keeps(getsockname(ls, &a.any, &len), "getsockname of a listener");
	int port = ntohs(a.v4.sin_port);

	fd = tcp(dest);
	keeps(connect_to(fd, dest, port), "connect");
	len = sizeof a;
	keeps(accepted = accept(ls, &a.any, &len), "accept");
	second = dial(dest, port);
	keeps(third = accept4(ls, NULL, NULL, SOCK_CLOEXEC), "accept4");
	len = sizeof a;
	keeps(getsockname(accepted, &a.any, &len), "getsockname");
	len = sizeof a;
	keeps(getpeername(accepted, &a.any, &len), "getpeername");
	len = sizeof one;
	keeps(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, &len), "getsockopt");

	keeps(send(fd, "x", 1, 0), "send");
	keeps(sendto(fd, "x", 1, 0, NULL, 0), "sendto");
	keeps(sendmsg(fd, &msg, 0), "sendmsg");
	keeps(write(fd, "x", 1), "write");
	keeps(recv(accepted, buf, 1, 0), "recv");
	len = sizeof a;
	keeps(recvfrom(accepted, buf, 1, 0, &a.any, &len), "recvfrom");
	keeps(recvmsg(accepted, &msg, 0), "recvmsg");
	keeps(read(accepted, buf, 1), "read");
	keeps(shutdown(fd, SHUT_WR), "shutdown");

	keeps(copy = dup(fd), "dup");
	keeps(dup2(fd, copy), "dup2");
	keeps(dup3(second, copy, O_CLOEXEC), "dup3");
	keeps(fcntl(copy, F_GETFL), "fcntl");
	keeps(close(copy), "close of a copy");
	keeps(close(fd), "close");
	keeps(close(accepted), "close of an accepted socket");
	keeps(close_range((unsigned)second, (unsigned)second, 0), "close_range");
	keeps(close(third), "close of what accept4 gave");
	keeps(shutdown(ls, SHUT_RDWR), "shutdown of a listener");
	keeps(close(ls), "close of a listener");

	/* The dial of a bound socket, its disconnection, and listen without bind. */
	ls = listener(ip, 0);
	fd = bound(ip, 0);
	keeps(connect_to(fd, dest, port_of(ls)), "connect of a bound socket");
	keeps(connect(fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)), "disconnect");
	close(fd);
	fd = tcp(ip);
	keeps(listen(fd, 8), "listen without bind");
	close(fd);
	close(ls);
}

int main(void)
{
	life("127.0.0.1", "127.0.0.1");
	life("0.0.0.0", "127.0.0.1");
	life("::1", "::1");
	life("::", "::ffff:127.0.0.1");
	return done();
}
