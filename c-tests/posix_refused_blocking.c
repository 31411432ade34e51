/* Dialing a port where nothing listens fails with ECONNREFUSED, and the socket can dial again. */
#include "net.h"

static void refused(const char *ip, const char *held)
{
	int holder = bound(held, 0), closed = port_of(holder);
	int serving = listener(held, 0);
	int fd = tcp(ip);

	is_str(peername(fd), "ENOTCONN", "%s: no peer before", ip);
	is_err(connect_to(fd, ip, closed), ECONNREFUSED, "%s: bound but not listening", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), 0, "%s: the error was told once", ip);
	is_str(peername(fd), "ENOTCONN", "%s: no peer after", ip);
	is_err(connect_to(fd, ip, closed), ECONNREFUSED, "%s: refused again", ip);
	is_err(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE, "%s: nothing can be sent", ip);

	is_err(connect_to(fd, ip, port_of(serving)), 0, "%s: the same socket reaches a listener", ip);
	int accepted = take(serving);
	ok(passes(fd, accepted), "%s: and is connected", ip);
	is_str(peername(accepted), sockname(fd), "%s: under one name", ip);

	close(fd);
	close(accepted);
	close(serving);
	is_int(dial_error(ip, closed), ECONNREFUSED, "%s: a fresh socket", ip);

	is_err(listen(holder, 8), 0, "%s: the holder listens", ip);
	is_int(dial_error(ip, closed), 0, "%s: and is reached", ip);
	close(holder);
}

int main(void)
{
	refused("127.0.0.1", "127.0.0.1");
	refused("127.0.0.1", "0.0.0.0");
	refused("::1", "::1");
	refused("::ffff:127.0.0.1", "::ffff:127.0.0.1");
	return done();
}
