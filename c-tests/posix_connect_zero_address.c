/* Dialing 0.0.0.0 or [::] reaches the host's own listener; the peer's address is the loopback address. */
#include "net.h"

static void zero(const char *ls_ip, const char *dest, const char *face)
{
	int ls = listener(ls_ip, 0), port = port_of(ls), fd = tcp(dest);
	is_err(connect_to(fd, dest, port), 0, "%s <- %s: connect", ls_ip, dest);
	is_str(peername(fd), name(face, port), "%s <- %s: the dialer's peer", ls_ip, dest);
	is_str(sockname(fd), name(face, port_of(fd)), "%s <- %s: the dialer's own name", ls_ip, dest);

	union sa from;
	socklen_t len = sizeof from;
	int accepted = accept(ls, &from.any, &len);
	is_int(ntohs(from.v4.sin_port), port_of(fd), "%s <- %s: accept names the dialer's port", ls_ip, dest);
	is_str(sockname(accepted), peername(fd), "%s <- %s: the accepted socket's own name", ls_ip, dest);
	is_str(peername(accepted), sockname(fd), "%s <- %s: the accepted socket's peer", ls_ip, dest);
	ok(passes(fd, accepted), "%s <- %s: bytes", ls_ip, dest);
	close(fd);
	close(accepted);
	close(ls);
}

int main(void)
{
	zero("0.0.0.0", "0.0.0.0", "127.0.0.1");
	zero("127.0.0.1", "0.0.0.0", "127.0.0.1");
	zero("::", "::", "::1");
	zero("::1", "::", "::1");
	zero("::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:127.0.0.1");

	int v4 = bound("0.0.0.0", 0), v6 = bound("::", 0);
	is_int(dial_error("0.0.0.0", port_of(v4)), ECONNREFUSED, "0.0.0.0: a closed port refuses");
	is_int(dial_error("::", port_of(v6)), ECONNREFUSED, "[::]: a closed port refuses");
	return done();
}
