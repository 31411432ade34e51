/* IPV6_V6ONLY reads back as the program has set it also after a refused dial. */
#include "net.h"

static void is_as_set(int flags, const char *how)
{
	int ls = listener("127.0.0.1", 0), closed = bound("::1", 0), fd = tcp_flags("::1", flags);
	set_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (connect_to(fd, "::1", port_of(closed)) < 0 && errno == EINPROGRESS) {
		wait_for(fd, POLLOUT);
		is_int(get_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1, "%s: it is before the error is told", how);
		connect_to(fd, "::1", port_of(closed));
	}
	is_err(-1, ECONNREFUSED, "%s: a dial that is refused", how);
	is_int(get_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1, "%s: what was set", how);
	is_err(connect_to(fd, "::ffff:127.0.0.1", port_of(ls)), ENETUNREACH, "%s: an IPv4 address cannot be dialed", how);
	is_err(bind_to(fd, "::ffff:127.0.0.1", 0), EINVAL, "%s: nor bound", how);
	close(closed);

	/* The two share a port, as IPV6_V6ONLY says. */
	is_err(bind_to(fd, "::", port_of(ls)), 0, "%s: :: beside a listener of IPv4", how);
	is_err(listen(fd, 8), 0, "%s: it listens", how);
	int dialed = dial("::1", port_of(fd));
	ok(ready(fd, POLLIN) && !ready(ls, POLLIN), "%s: it is reached by IPv6", how);
	close(dialed);
	dialed = dial("127.0.0.1", port_of(ls));
	ok(ready(ls, POLLIN), "%s: the other by IPv4", how);
	close(dialed);
	close(fd);
	close(ls);
}

int main(void)
{
	is_as_set(0, "blocking");
	is_as_set(SOCK_NONBLOCK, "non-blocking");
	return done();
}
