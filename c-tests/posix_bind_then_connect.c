/* A socket that is bound and then dials keeps its port, and its peer sees it there. */
#include "net.h"

static void bound_dial(const char *ip, const char *dest, int reuse)
{
	int ls = listener(dest, 0), fd = tcp(ip);
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, reuse);
	is_err(bind_to(fd, ip, 0), 0, "%s: bind", ip);
	int source = port_of(fd);
	is_str(sockname(fd), name(ip, source), "%s: after bind", ip);
	is_err(connect_to(fd, dest, port_of(ls)), 0, "%s: connect", ip);
	is_str(sockname(fd), name(dest, source), "%s: after connect: the same port, at the address of the path", ip);
	is_str(peername(fd), name(dest, port_of(ls)), "%s: its peer", ip);

	union sa from;
	socklen_t len = sizeof from;
	int accepted = accept(ls, &from.any, &len);
	is_str(text(&from), name(dest, source), "%s: accept names it", ip);
	is_str(peername(accepted), name(dest, source), "%s: getpeername names it", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_REUSEADDR), reuse, "%s: SO_REUSEADDR is as it was set", ip);
	ok(passes(fd, accepted), "%s: bytes", ip);

	int rival = tcp(ip);
	is_err(bind_to(rival, ip, source), EADDRINUSE, "%s: its port is held", ip);
	close(rival);
	reset_on_close(fd);
	close(fd);
	rival = tcp(ip);
	is_err(bind_to(rival, ip, source), 0, "%s: and free when it ended", ip);
	close(rival);
	close(accepted);

	/* An explicit port, from which two listeners are dialed at once. */
	int other = listener(dest, 0), port = own_port(), pair[2];
	for (int i = 0; i < 2; i++) {
		pair[i] = tcp(ip);
		set_opt(pair[i], SOL_SOCKET, SO_REUSEADDR, 1);
		is_err(bind_to(pair[i], ip, port), 0, "%s: bind to a port of one's own choice", ip);
	}
	is_err(connect_to(pair[0], dest, port_of(ls)), 0, "%s: dial from it", ip);
	is_err(connect_to(pair[1], dest, port_of(ls)), EADDRNOTAVAIL, "%s: the same dial again", ip);
	is_err(connect_to(pair[1], dest, port_of(other)), 0, "%s: but another listener is reached", ip);
	accepted = take(other);
	is_str(peername(accepted), name(dest, port), "%s: from that very port", ip);
	for (int i = 0; i < 2; i++) {
		reset_on_close(pair[i]);
		close(pair[i]);
	}
	close(accepted);
	close(ls);
	close(other);
}

int main(void)
{
	for (int reuse = 0; reuse < 2; reuse++) {
		bound_dial("127.0.0.1", "127.0.0.1", reuse);
		bound_dial("0.0.0.0", "127.0.0.1", reuse);
		bound_dial("::1", "::1", reuse);
		bound_dial("::", "::1", reuse);
	}
	return done();
}
