/* bindresvport binds to a port below 1024 as bind would: getsockname returns it, and the socket dials and
 * listens there. */
#include "reserved.h"

int main(void)
{
	if (!may_bind()) {
		ok(1, "this user may not bind to ports below 1024 # SKIP");
		return done();
	}
	int fd = tcp("127.0.0.1");
	is_err(bindresvport(fd, NULL), 0, "without an address");
	int port = port_of(fd);
	ok(is_reserved(port), "its port is %d", port);
	is_err(bindresvport(fd, NULL), EINVAL, "twice");

	int ls = listener("127.0.0.1", 0);
	is_err(connect_to(fd, "127.0.0.1", port_of(ls)), 0, "it dials");
	int accepted = take(ls);
	is_str(peername(accepted), name("127.0.0.1", port), "from there");
	ok(passes(fd, accepted), "bytes");
	close(fd);
	close(accepted);
	close(ls);

	fd = tcp("127.0.0.1");
	union sa a = at("127.0.0.1", 4711);
	is_err(bindresvport(fd, &a.v4), 0, "with an address");
	is_str(sockname(fd), text(&a), "the port is written there");
	is_err(listen(fd, 1), 0, "it listens");
	int caller = dial("127.0.0.1", ntohs(a.v4.sin_port));
	accepted = take(fd);
	ok(passes(caller, accepted), "and is dialed");
	int other = tcp("127.0.0.1");
	union sa b = at("127.0.0.1", 0);
	is_err(bindresvport(other, &b.v4), 0, "a second one");
	ok(b.v4.sin_port != a.v4.sin_port, "has another port");
	close(fd);
	close(caller);
	close(accepted);
	close(other);

	fd = tcp("127.0.0.1");
	a = at("192.0.2.1", 0);
	is_err(bindresvport(fd, &a.v4), EADDRNOTAVAIL, "an address that is not here");
	a.v4.sin_family = AF_INET6;
	is_err(bindresvport(fd, &a.v4), EAFNOSUPPORT, "another family");
	close(fd);
	fd = tcp("::1");
	is_err(bindresvport(fd, NULL), EINVAL, "a socket of another family");
	close(fd);
	is_err(bindresvport(fd, NULL), EBADF, "no descriptor");
	return done();
}
