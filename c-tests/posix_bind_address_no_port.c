/* IP_BIND_ADDRESS_NO_PORT: a socket that is bound to an address and port 0 dials from that address, and
 * has a port at the latest when it is connected; the option reads back as set throughout. */
#include "net.h"

int main(void)
{
	int ls = listener("127.0.0.1", 0), fd = tcp("127.0.0.1");
	set_opt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	is_err(bind_to(fd, "127.0.0.1", 0), 0, "bind to port 0");
	is_int(get_opt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1, "the option is as it was set");
	is_err(connect_to(fd, "127.0.0.1", port_of(ls)), 0, "connect");
	is_int(get_opt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1, "and still is");
	ok(port_of(fd) != 0, "the dialer has a port");
	union sa own;
	socklen_t len = sizeof own;
	getsockname(fd, &own.any, &len);
	is_int((long)ntohl(own.v4.sin_addr.s_addr), INADDR_LOOPBACK, "and the address that it was bound to");
	int accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "the listener sees it under that name");
	ok(passes(fd, accepted), "the connection works");

	/* With a port of its own the option changes nothing. */
	int other = tcp("127.0.0.1"), port = own_port();
	set_opt(other, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	is_err(bind_to(other, "127.0.0.1", port), 0, "bind to a port");
	is_str(sockname(other), name("127.0.0.1", port), "which it has at once");
	is_err(connect_to(other, "127.0.0.1", port_of(ls)), 0, "and dials from");
	accepted = take(ls);
	is_str(peername(accepted), name("127.0.0.1", port), "as the listener sees");
	return done();
}
