/* A socket bound to another loopback address dials: both ends agree on its address, and its peer is the
 * address that it dialed. */
#include "net.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static const char *peer_by_option(int fd)
{
	union sa a;
	/* More than there is would be EINVAL. */
	socklen_t len = get_opt(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET ? sizeof a.v4 : sizeof a.v6;
	return getsockopt(fd, SOL_SOCKET, 28 /* SO_PEERNAME */, &a, &len) < 0 ? tap_errno(errno) : text(&a);
}

/* fd is bound, to `port` if that is not 0; `shown` is the beginning of the name that the accepting end sees. */
static void agree(int fd, int port, const char *to, int ls, const char *shown, const char *what)
{
	union sa a;
	socklen_t len = sizeof a;
	int dialed = port_of(ls);
	is_err(connect_to(fd, to, dialed), 0, "%s: dials", what);
	int accepted = accept(ls, &a.any, &len);
	ok(accepted >= 0 && !strncmp(text(&a), shown, strlen(shown)), "%s: is seen at its address: %s", what, text(&a));
	int told = ntohs(a.v4.sin_port);
	is_int(port_of(fd), told, "%s: both ends tell the same port", what);
	if (port)
		is_int(told, port, "%s: which it had before", what);
	ok(strstr(sockname(fd), "127.0.0.2") != NULL, "%s: its own name: %s", what, sockname(fd));
	is_str(peername(fd), name(to, dialed), "%s: its peer is what it dialed", what);
	is_str(peer_by_option(fd), name(to, dialed), "%s: as an option, too", what);
	is_str(peername(accepted), text(&a), "%s: getpeername at the other end", what);
	ok(passes(fd, accepted), "%s: bytes pass", what);
	reset_on_close(fd);
	close(fd);
	close(accepted);
}

int main(void)
{
	int ls = listener("127.0.0.1", 0), dual = tcp("::");
	set_opt(dual, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind_to(dual, "::", 0) < 0 || listen(dual, 8) < 0)
		bail("a dual-stack listener");

	int fd = bound("127.0.0.2", 0), port = own_port();
	agree(fd, port_of(fd), "127.0.0.1", ls, "127.0.0.2:", "bound to port 0");
	agree(bound("127.0.0.2", port), port, "127.0.0.1", ls, "127.0.0.2:", "bound to a port by number");
	agree(bound("127.0.0.2", 0), 0, "127.0.0.1", dual, "[::ffff:127.0.0.2]:", "to a dual-stack listener");
	agree(bound("::ffff:127.0.0.2", 0), 0, "::ffff:127.0.0.1", ls, "127.0.0.2:", "an AF_INET6 socket");

	fd = tcp("127.0.0.1");
	set_opt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	if (bind_to(fd, "127.0.0.2", 0) < 0)
		bail("bind");
	agree(fd, 0, "127.0.0.1", ls, "127.0.0.2:", "with its port left to connect");

	fd = bound("127.0.0.2", 0);
	is_err(connect_to(fd, "127.0.0.1", port_of(bound("127.0.0.1", 0))), ECONNREFUSED, "a dial that is refused");
	/* The kernel may have given it another port. */
	agree(fd, 0, "127.0.0.1", ls, "127.0.0.2:", "after a refusal");

	/* Listening, it is reached there. */
	int other = listener("127.0.0.2", 0);
	fd = dial("127.0.0.2", port_of(other));
	is_str(peername(fd), sockname(other), "a listener at that address is reached");
	return done();
}
