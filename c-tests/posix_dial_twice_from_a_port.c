/* Sockets that share a port dial different destinations from it: a connection is identified by both of its
 * ends. */
#include "net.h"

static int from(const char *ip, int port)
{
	int fd = tcp(ip);
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind_to(fd, ip, port) < 0)
		bail("bind %s", ip);
	return fd;
}

static void dial_twice(const char *first, const char *second, const char *ip)
{
	int ls = listener(ip, 0), other = listener(ip, 0), port = own_port();
	int a = from(first, port), b = from(second, port);
	char what[60];
	snprintf(what, sizeof what, "%s and %s", first, second);

	is_err(connect_to(a, ip, port_of(ls)), 0, "%s: the first dials", what);
	is_err(connect_to(b, ip, port_of(ls)), EADDRNOTAVAIL, "%s: the second cannot dial the same", what);
	is_err(connect_to(b, ip, port_of(other)), 0, "%s: but another", what);
	is_str(sockname(b), sockname(a), "%s: both have the same name", what);
	close(take(other));
	int accepted = take(ls);
	ok(passes(a, accepted), "%s: the first is connected", what);
	reset_on_close(a);
	close(a);
	wait_for(accepted, POLLHUP);
	close(accepted);
	a = from(first, port);
	is_err(connect_to(a, ip, port_of(ls)), 0, "%s: again, when the first has gone", what);
	close(take(ls));
	close(a);
	close(b);
	close(ls);
	close(other);
}

int main(void)
{
	dial_twice("127.0.0.1", "127.0.0.1", "127.0.0.1");
	dial_twice("0.0.0.0", "127.0.0.1", "127.0.0.1");
	dial_twice("127.0.0.1", "0.0.0.0", "127.0.0.1");
	dial_twice("::1", "::1", "::1");
	dial_twice("::", "::1", "::1");
	return done();
}
