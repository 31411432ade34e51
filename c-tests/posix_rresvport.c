/* rresvport and rresvport_af make a socket bound to the given port, or else to the next free one below. */
#include "reserved.h"

static void family(int af, const char *ip)
{
	int port = 1023, fd = rresvport_af(&port, (sa_family_t)af);
	ok(fd >= 0 && is_reserved(port), "%s: a socket at %d", ip, port);
	is_int(port_of(fd), port, "%s: getsockname says so", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM, "%s: its type", ip);
	is_int(fcntl(fd, F_GETFD), 0, "%s: its flags", ip);

	int next = port, below = rresvport_af(&next, (sa_family_t)af);
	ok(below >= 0 && (port > 512 ? next < port : next > port), "%s: that is taken, the next is %d", ip, next);

	int ls = listener(ip, 0);
	is_err(connect_to(fd, ip, port_of(ls)), 0, "%s: it dials", ip);
	int accepted = take(ls);
	is_str(peername(accepted), name(ip, port), "%s: from there", ip);
	is_err(listen(below, 1), 0, "%s: it listens", ip);
	int caller = dial(ip, next), taken = take(below);
	ok(passes(caller, taken), "%s: and is dialed", ip);
	close(fd);
	close(below);
	close(ls);
	close(accepted);
	close(caller);
	close(taken);
}

int main(void)
{
	int port = 1000;
	is_err(rresvport_af(&port, AF_UNIX), EAFNOSUPPORT, "another family");
	is_int(port, 1000, "leaves the port");
	if (!may_bind()) {
		is_err(rresvport(&port), EACCES, "this user may not bind to ports below 1024");
		return done();
	}
	family(AF_INET, "127.0.0.1");
	family(AF_INET6, "::1");

	port = 80;
	int fd = rresvport(&port);
	ok(is_reserved(port) && port_of(fd) == port, "rresvport from 80 on is at %d", port);
	close(fd);
	port = 8080;
	fd = rresvport(&port);
	ok(is_reserved(port) && port_of(fd) == port, "rresvport from 8080 on is at %d", port);
	close(fd);
	return done();
}
