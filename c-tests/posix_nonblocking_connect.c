/* A non-blocking dial: EINPROGRESS, then writable with SO_ERROR 0; further connects report its progress. */
#include "net.h"

static void nonblocking(const char *ip)
{
	int ls = listener(ip, 0), port = port_of(ls);
	int fd = tcp_flags(ip, SOCK_NONBLOCK);

	is_err(connect_to(fd, ip, port), EINPROGRESS, "%s: connect", ip);
	is_int(wait_for(fd, POLLIN | POLLOUT), POLLOUT, "%s: writable, and nothing to read", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), 0, "%s: SO_ERROR", ip);
	is_str(sockname(fd), name(ip, port_of(fd)), "%s: own name", ip);
	is_str(peername(fd), name(ip, port), "%s: peer", ip);
	is_err(connect_to(fd, ip, port), 0, "%s: connect again says once that it succeeded", ip);
	is_err(connect_to(fd, ip, port), EISCONN, "%s: and then EISCONN", ip);

	int accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "%s: who is accepted", ip);
	char c;
	is_err(recv(fd, &c, 1, 0), EAGAIN, "%s: nothing to read yet", ip);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	ok(passes(fd, accepted), "%s: bytes", ip);
	close(fd);
	close(accepted);

	/* Many at once, none accepted yet. */
	enum { MANY = 20 };
	int fds[MANY], up = 0, served = 0;
	for (int i = 0; i < MANY; i++) {
		fds[i] = tcp_flags(ip, SOCK_NONBLOCK);
		if (connect_to(fds[i], ip, port) < 0 && errno != EINPROGRESS)
			bail("connect");
	}
	for (int i = 0; i < MANY; i++) {
		wait_for(fds[i], POLLOUT);
		up += get_opt(fds[i], SOL_SOCKET, SO_ERROR) == 0;
	}
	is_int(up, MANY, "%s: %d dials at once all complete", ip, MANY);
	for (int i = 0; i < MANY; i++) {
		accepted = take(ls);
		const char *who = peername(accepted);
		for (int j = 0; j < MANY; j++)
			served += !strcmp(who, sockname(fds[j]));
		close(accepted);
	}
	is_int(served, MANY, "%s: each is accepted under its own name", ip);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	close(ls);
}

int main(void)
{
	nonblocking("127.0.0.1");
	nonblocking("::1");
	nonblocking("::ffff:127.0.0.1");
	return done();
}
