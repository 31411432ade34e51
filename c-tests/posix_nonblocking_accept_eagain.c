/* A non-blocking accept without a connection fails with EAGAIN, each time; accepted sockets do not inherit
 * O_NONBLOCK. */
#include "net.h"

static void nobody(const char *ip, const char *dest)
{
	union sa from;
	socklen_t len = sizeof from;
	int ls = tcp_flags(ip, SOCK_NONBLOCK);
	is_err(accept(ls, NULL, NULL), EINVAL, "%s: before bind", ip);
	is_err(bind_to(ls, ip, 0), 0, "%s: bind", ip);
	is_err(accept(ls, NULL, NULL), EINVAL, "%s: before listen", ip);
	is_err(listen(ls, 8), 0, "%s: listen", ip);

	memset(&from, 0xAA, sizeof from);
	is_err(accept(ls, &from.any, &len), EAGAIN, "%s: nobody", ip);
	is_int(len, sizeof from, "%s: the length is as it was", ip);
	is_int(*(unsigned char *)&from, 0xAA, "%s: so is the buffer", ip);
	is_err(accept4(ls, NULL, NULL, SOCK_NONBLOCK), EAGAIN, "%s: still nobody", ip);

	int fd = dial(dest, port_of(ls));
	is_int(wait_for(ls, POLLIN | POLLOUT), POLLIN, "%s: a caller makes it readable", ip);
	int accepted = accept(ls, &from.any, &len);
	ok(accepted >= 0, "%s: which is accepted", ip);
	is_str(text(&from), peername(accepted), "%s: under its name", ip);
	is_int(fcntl(accepted, F_GETFL) & O_NONBLOCK, 0, "%s: and blocks", ip);
	is_err(accept(ls, NULL, NULL), EAGAIN, "%s: nobody again", ip);

	/* O_NONBLOCK set and taken back later on. */
	int blocking = listener(ip, 0);
	fcntl(blocking, F_SETFL, O_NONBLOCK);
	is_err(accept(blocking, NULL, NULL), EAGAIN, "%s: O_NONBLOCK set after listen", ip);
	int second = dial(dest, port_of(blocking));
	wait_for(blocking, POLLIN);
	close(take(blocking));
	fcntl(blocking, F_SETFL, 0);
	int third = dial(dest, port_of(blocking));
	ok((accepted = accept(blocking, NULL, NULL)) >= 0, "%s: and taken back", ip);
	close(accepted);
	close(third);
	close(second);
	close(blocking);
	close(fd);
	close(ls);
}

int main(void)
{
	nobody("127.0.0.1", "127.0.0.1");
	nobody("0.0.0.0", "127.0.0.1");
	nobody("::1", "::1");
	nobody("::", "127.0.0.1");
	return done();
}
