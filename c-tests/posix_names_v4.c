/* getsockname and getpeername of IPv4 sockets in each state. */
#include "net.h"

/* A listener on ip, dialed at dest. */
static void stages(const char *ip, const char *dest)
{
	int ls = tcp(ip), fd = tcp(ip);

	is_str(sockname(ls), "0.0.0.0:0", "%s: before bind", ip);
	is_str(peername(ls), "ENOTCONN", "%s: no peer before bind", ip);
	is_err(bind_to(ls, ip, 0), 0, "%s: bind", ip);
	int port = port_of(ls);
	ok(port > 0, "%s: bind gave a port", ip);
	is_str(sockname(ls), name(ip, port), "%s: after bind", ip);
	is_err(listen(ls, 8), 0, "%s: listen", ip);
	is_str(sockname(ls), name(ip, port), "%s: after listen", ip);
	is_str(peername(ls), "ENOTCONN", "%s: a listener has no peer", ip);

	is_str(sockname(fd), "0.0.0.0:0", "%s: before connect", ip);
	is_err(connect_to(fd, dest, port), 0, "%s: connect", ip);
	const char *dialed = name(dest, port_of(fd));
	ok(port_of(fd) > 0, "%s: connect gave a port", ip);
	is_str(sockname(fd), dialed, "%s: the dialer's own name", ip);
	is_str(peername(fd), name(dest, port), "%s: the dialer's peer", ip);

	union sa from;
	socklen_t len = sizeof from;
	int accepted = accept(ls, &from.any, &len);
	ok(accepted >= 0, "%s: accept", ip);
	is_int(len, sizeof from.v4, "%s: accept's length", ip);
	is_str(text(&from), dialed, "%s: accept's address", ip);
	is_str(sockname(accepted), name(dest, port), "%s: the accepted socket has the listener's port", ip);
	is_str(peername(accepted), dialed, "%s: the accepted socket's peer", ip);

	close(fd);
	wait_for(accepted, POLLRDHUP);
	is_str(sockname(accepted), name(dest, port), "%s: own name after the peer closed", ip);
	is_str(peername(accepted), dialed, "%s: peer after the peer closed", ip);
	shutdown(accepted, SHUT_RDWR);
	wait_for_state(accepted, TCP_CLOSE);
	is_str(sockname(accepted), name(dest, port), "%s: own name after both closed", ip);
	is_str(peername(accepted), "ENOTCONN", "%s: no peer after both closed", ip);
	close(accepted);

	fd = dial(dest, port);
	dialed = name(dest, port_of(fd));
	accepted = take(ls);
	close(ls);
	is_str(sockname(accepted), name(dest, port), "%s: own name after the listener closed", ip);
	is_str(peername(accepted), dialed, "%s: peer after the listener closed", ip);
	is_str(peername(fd), name(dest, port), "%s: the dialer's peer after the listener closed", ip);
	reset_on_close(fd);
	close(fd);
	wait_for(accepted, POLLRDHUP);
	is_str(sockname(accepted), name(dest, port), "%s: own name after a reset", ip);
	is_str(peername(accepted), "ENOTCONN", "%s: no peer after a reset", ip);
	close(accepted);
}

int main(void)
{
	stages("127.0.0.1", "127.0.0.1");
	stages("0.0.0.0", "127.0.0.1");

	int holder = bound("127.0.0.1", 0), fd = tcp("127.0.0.1");
	is_err(connect_to(fd, "127.0.0.1", port_of(holder)), ECONNREFUSED, "refused");
	is_str(sockname(fd), name("0.0.0.0", port_of(fd)), "after a refusal the socket has no address; a port it may have");
	is_str(peername(fd), "ENOTCONN", "after a refusal the socket has no peer");
	close(fd);

	fd = tcp("127.0.0.1");
	is_err(bind_to(fd, "127.0.0.1", port_of(holder)), EADDRINUSE, "a bind that fails");
	is_str(sockname(fd), "0.0.0.0:0", "after it the socket has no name");
	return done();
}
