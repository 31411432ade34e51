/* Addresses of the wrong type, and AF_UNIX paths at the limits of their length. */
#include "net.h"
#include <stddef.h>
#include <sys/un.h>

/* An address of another family than the socket's, whole and with the length of the socket's own. */
static void families(void)
{
	static const struct { const char *ip; int family, length, bind_want, connect_want; } cases[] = {
		{ "127.0.0.1", AF_INET6, 28, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "127.0.0.1", AF_INET6, 16, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "127.0.0.1", AF_UNIX, 16, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "127.0.0.1", AF_UNIX, 8, EINVAL, EINVAL },
		{ "127.0.0.1", AF_NETLINK, 16, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "127.0.0.1", 12345, 16, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "::1", AF_INET, 28, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "::1", AF_INET, 16, EINVAL, EINVAL },
		{ "::1", AF_UNIX, 28, EAFNOSUPPORT, EAFNOSUPPORT },
		{ "::1", AF_UNIX, 8, EINVAL, EINVAL },
		{ "::1", 12345, 28, EAFNOSUPPORT, EAFNOSUPPORT },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		union sa a = at(cases[i].ip, 9);
		int fd = tcp(cases[i].ip);
		a.any.sa_family = (sa_family_t)cases[i].family;
		if (cases[i].family == AF_INET)
			a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		is_err(bind(fd, &a.any, (socklen_t)cases[i].length), cases[i].bind_want, "bind %s: family %d, length %d",
		       cases[i].ip, cases[i].family, cases[i].length);
		is_err(connect(fd, &a.any, (socklen_t)cases[i].length), cases[i].connect_want,
		       "connect %s: family %d, length %d", cases[i].ip, cases[i].family, cases[i].length);
		close(fd);
	}

	/* AF_UNSPEC binds IPv4's wildcard, and no other address. */
	union sa a = at("0.0.0.0", 0);
	int fd = tcp("0.0.0.0");
	a.any.sa_family = AF_UNSPEC;
	a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	is_err(bind(fd, &a.any, 16), EAFNOSUPPORT, "bind AF_UNSPEC 127.0.0.1");
	a.v4.sin_addr.s_addr = 0;
	is_err(bind(fd, &a.any, 16), 0, "bind AF_UNSPEC 0.0.0.0");
	is_str(sockname(fd), name("0.0.0.0", port_of(fd)), "is a bind of 0.0.0.0");
	close(fd);
}

static void addresses(void)
{
	static const struct { const char *ip; int want; } binds[] = {
		{ "192.0.2.1", EADDRNOTAVAIL }, /* documentation, nobody's */
		{ "2001:db8::1", EADDRNOTAVAIL },
		{ "::ffff:192.0.2.1", EADDRNOTAVAIL },
	};
	for (size_t i = 0; i < sizeof binds / sizeof *binds; i++) {
		int fd = tcp(binds[i].ip);
		is_err(bind_to(fd, binds[i].ip, 0), binds[i].want, "bind %s", binds[i].ip);
		is_err(bind_to(fd, family_of(binds[i].ip) == AF_INET ? "127.0.0.1" : "::1", 0), 0,
		       "bind %s: and then one's own", binds[i].ip);
		close(fd);
	}
	is_int(dial_error("127.0.0.1", 0), ECONNREFUSED, "connect to port 0");
	is_err(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT, "socket: a stream of UDP");
	is_err(socket(12345, SOCK_STREAM, 0), EAFNOSUPPORT, "socket: no such family");
	is_err(socket(AF_INET, 77, 0), EINVAL, "socket: no such type");
}

/* Abstract names: they leave nothing behind. */
static void unix_paths(void)
{
	enum { HEAD = offsetof(struct sockaddr_un, sun_path), WHOLE = sizeof(struct sockaddr_un) };
	union { struct sockaddr_un un; struct sockaddr any; char room[WHOLE + 8]; } a;
	memset(&a, 'p', sizeof a);
	a.un.sun_family = AF_UNIX;
	memset(a.un.sun_path, 0, 1);
	snprintf(a.un.sun_path + 1, sizeof a.un.sun_path - 1, "posix_invalid_arguments.%d.", getpid());

	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
	is_err(bind(fd, &a.any, WHOLE + 1), EINVAL, "AF_UNIX: bind, a byte too long");
	is_err(connect(fd, &a.any, WHOLE + 1), EINVAL, "AF_UNIX: connect, a byte too long");
	is_err(bind(fd, &a.any, 1), EINVAL, "AF_UNIX: bind, shorter than the family");
	is_err(connect(fd, &a.any, 1), EINVAL, "AF_UNIX: connect, shorter than the family");
	is_err(connect(fd, &a.any, WHOLE), ECONNREFUSED, "AF_UNIX: connect, nobody there");
	is_err(bind(fd, &a.any, WHOLE), 0, "AF_UNIX: bind, the full length");
	is_err(listen(fd, 1), 0, "AF_UNIX: listen");
	is_err(connect(other, &a.any, WHOLE), 0, "AF_UNIX: connect, the full length");
	is_err(connect(other, &a.any, WHOLE), EISCONN, "AF_UNIX: connect, again");
	a.un.sun_family = AF_INET;
	close(other);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	is_err(bind(other, &a.any, WHOLE), EINVAL, "AF_UNIX: bind, another family");
	is_err(connect(other, &a.any, WHOLE), EINVAL, "AF_UNIX: connect, another family");
}

int main(void)
{
	families();
	addresses();
	unix_paths();
	return done();
}
