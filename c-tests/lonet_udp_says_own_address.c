/* A host finds the address at which others reach it as programs do: it connects a UDP socket to another
 * host, or to anywhere outside, and calls getsockname. No datagram is sent. */
#include "lonet.h"

/* The name, without its port, of a new UDP socket that is connected there; "" if there is no way to there. */
static const char *source_to(int family, const char *to)
{
	static char said[64];
	int fd = socket(family, SOCK_DGRAM, 0);
	if (fd < 0)
		bail("socket");
	snprintf(said, sizeof said, "%s", connect_to(fd, to, 9) < 0 ? "" : sockname(fd));
	char *port = strrchr(said, ':');
	if (port)
		ok(port_of(fd) > 0, "to %s from a port", to), *port = 0;
	close(fd);
	return said;
}

int main(void)
{
	const char *own = address_of("α.lonet"), *other = address_of("β.lonet");
	char mapped[64], own_mapped[64];
	snprintf(mapped, sizeof mapped, "::ffff:%s", other);
	snprintf(own_mapped, sizeof own_mapped, "[::ffff:%s]", own);
	is_str(source_to(AF_INET, other), own, "to β from α's address");
	is_str(source_to(AF_INET6, mapped), own_mapped, "and so for an AF_INET6 socket");
	is_str(source_to(AF_INET, own), own, "to α itself, too");

	/* An address for documentation, RFC 5737: a machine without a network has no way to it. */
	const char *outside = source_to(AF_INET, "198.51.100.1");
	is_str(*outside ? outside : own, own, "to outside from α's address");

	is_str(source_to(AF_INET, "127.0.0.1"), "127.0.0.1", "on the loopback from the loopback");
	int idle = socket(AF_INET, SOCK_DGRAM, 0);
	is_str(sockname(idle), "0.0.0.0:0", "one that is not connected has no address");
	if (bind_to(idle, "127.0.0.1", 0) < 0)
		bail("bind");
	is_str(sockname(idle), name("127.0.0.1", port_of(idle)), "one that is bound has the one that it is bound to");
	return done();
}
