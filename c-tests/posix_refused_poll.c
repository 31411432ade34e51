/* The events that poll reports for a refused non-blocking dial. */
#include "net.h"

static void refused(const char *ip)
{
	int holder = bound(ip, 0), fd = tcp_flags(ip, SOCK_NONBLOCK);

	is_err(connect_to(fd, ip, port_of(holder)), EINPROGRESS, "%s: connect", ip);
	int got = wait_for(fd, POLLIN | POLLOUT | POLLRDHUP);
	is_int(got, POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP, "%s: poll", ip);
	is_int(ready(fd, POLLIN | POLLOUT | POLLRDHUP), got, "%s: poll again, the same", ip);
	is_int(ready(fd, 0), POLLERR | POLLHUP, "%s: what is said unasked", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED, "%s: SO_ERROR", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), 0, "%s: SO_ERROR is read once", ip);
	is_int(ready(fd, POLLIN | POLLOUT), POLLIN | POLLOUT | POLLHUP, "%s: the error is gone, the end is not", ip);
	is_str(peername(fd), "ENOTCONN", "%s: no peer", ip);
	close(fd);

	fd = tcp_flags(ip, SOCK_NONBLOCK);
	is_err(connect_to(fd, ip, port_of(holder)), EINPROGRESS, "%s: connect, by a second socket", ip);
	wait_for(fd, POLLOUT);
	is_err(connect_to(fd, ip, port_of(holder)), ECONNREFUSED, "%s: connect tells the error too", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), 0, "%s: then SO_ERROR has nothing to say", ip);
	close(fd);
	close(holder);
}

int main(void)
{
	refused("127.0.0.1");
	refused("::1");
	refused("::ffff:127.0.0.1");
	return done();
}
