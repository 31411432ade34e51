/* select reports a refused non-blocking dial as readable and writable, and SO_ERROR has the error. */
#include "net.h"
#include <sys/select.h>

static void refused(const char *ip)
{
	fd_set r, w, x;
	int holder = bound(ip, 0), fd = tcp_flags(ip, SOCK_NONBLOCK);
	char c;

	is_err(connect_to(fd, ip, port_of(holder)), EINPROGRESS, "%s: connect", ip);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &x);
	is_int(select(fd + 1, &r, &w, &x, NULL), 2, "%s: select", ip);
	ok(FD_ISSET(fd, &r), "%s: readable", ip);
	ok(FD_ISSET(fd, &w), "%s: writable", ip);
	ok(!FD_ISSET(fd, &x), "%s: no exceptional condition", ip);
	is_err(recv(fd, &c, 1, 0), ECONNREFUSED, "%s: recv tells the error", ip);
	is_int(recv(fd, &c, 1, 0), 0, "%s: and then the end", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), 0, "%s: SO_ERROR has nothing left to say", ip);
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
