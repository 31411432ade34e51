/* SO_BINDTODEVICE: sockets bound to the loopback interface bind, listen, dial and accept there; an
 * interface that does not exist is refused. */
#include "net.h"
#include <net/if.h>

static int on_lo(void)
{
	int fd = tcp("127.0.0.1");
	is_err(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0, "to lo");
	return fd;
}

int main(void)
{
	char device[IFNAMSIZ] = "";
	socklen_t len = sizeof device;
	int ls = on_lo(), fd = on_lo(), closed = on_lo();
	is_err(bind_to(ls, "127.0.0.1", 0), 0, "bind");
	is_err(listen(ls, 8), 0, "listen");
	is_err(getsockopt(ls, SOL_SOCKET, SO_BINDTODEVICE, device, &len), 0, "the option");
	is_str(device, "lo", "is read back");
	is_err(connect_to(fd, "127.0.0.1", port_of(ls)), 0, "connect");
	int accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "accept names the dialer");
	is_str(peername(fd), sockname(accepted), "the dialer names the listener");
	ok(passes(fd, accepted), "the connection works");
	is_int(dial_error("127.0.0.1", port_of(ls)), 0, "a socket that is not bound to it gets through, too");

	int port = port_of(ls);
	close(ls);
	is_err(connect_to(closed, "127.0.0.1", port), ECONNREFUSED, "a closed port refuses");
	is_err(setsockopt(closed, SOL_SOCKET, SO_BINDTODEVICE, "nosuch0", 8), ENODEV, "no such interface");
	return done();
}
