/* getsockname and getpeername of IPv6 sockets in each state. */
#include "net.h"

/* A listener on ip, dialed at ::1. */
static void stages(const char *ip)
{
	int ls = tcp(ip), fd = tcp(ip);

	is_str(sockname(ls), "[::]:0", "%s: before bind", ip);
	is_str(peername(ls), "ENOTCONN", "%s: no peer before bind", ip);
	is_err(bind_to(ls, ip, 0), 0, "%s: bind", ip);
	int port = port_of(ls);
	ok(port > 0, "%s: bind gave a port", ip);
	is_str(sockname(ls), name(ip, port), "%s: after bind", ip);
	is_err(listen(ls, 8), 0, "%s: listen", ip);
	is_str(sockname(ls), name(ip, port), "%s: after listen", ip);

	is_err(connect_to(fd, "::1", port), 0, "%s: connect", ip);
	const char *dialed = name("::1", port_of(fd));
	is_str(sockname(fd), dialed, "%s: the dialer's own name", ip);
	is_str(peername(fd), name("::1", port), "%s: the dialer's peer", ip);

	union sa from;
	socklen_t len = sizeof from;
	int accepted = accept(ls, &from.any, &len);
	ok(accepted >= 0, "%s: accept", ip);
	is_int(len, sizeof from.v6, "%s: accept's length", ip);
	is_str(text(&from), dialed, "%s: accept's address", ip);
	is_int(from.v6.sin6_scope_id, 0, "%s: accept's scope", ip);
	is_int(from.v6.sin6_flowinfo, 0, "%s: accept's flow", ip);
	is_str(sockname(accepted), name("::1", port), "%s: the accepted socket has the listener's port", ip);
	is_str(peername(accepted), dialed, "%s: the accepted socket's peer", ip);

	close(fd);
	wait_for(accepted, POLLRDHUP);
	is_str(sockname(accepted), name("::1", port), "%s: own name after the peer closed", ip);
	is_str(peername(accepted), dialed, "%s: peer after the peer closed", ip);
	shutdown(accepted, SHUT_RDWR);
	wait_for_state(accepted, TCP_CLOSE);
	is_str(sockname(accepted), name("::1", port), "%s: own name after both closed", ip);
	is_str(peername(accepted), "ENOTCONN", "%s: no peer after both closed", ip);
	close(accepted);
	close(ls);
}

int main(void)
{
	stages("::1");
	stages("::");

	int holder = bound("::1", 0), fd = tcp("::1");
	is_err(connect_to(fd, "::1", port_of(holder)), ECONNREFUSED, "refused");
	is_str(sockname(fd), name("::", port_of(fd)), "after a refusal the socket has no address; a port it may have");
	is_str(peername(fd), "ENOTCONN", "after a refusal the socket has no peer");
	close(fd);

	fd = tcp("::1");
	is_err(bind_to(fd, "::1", port_of(holder)), EADDRINUSE, "a bind that fails");
	is_str(sockname(fd), "[::]:0", "after it the socket has no name");
	return done();
}
