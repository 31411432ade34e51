/* A closed port refuses, even if the dialer's own port could be that very port: a dial never connects a
 * socket to itself by accident. */
#include "net.h"

/* Is fd connected to itself? */
static int to_itself(int fd)
{
	return !strcmp(sockname(fd), peername(fd));
}

/* How many of the dials may be to themselves: the kernel chooses ports at random, and so the same one again at times. */
static int by_chance(void)
{
	const char *host = getenv("LONET_HOST");
	return host && *host ? 0 : 3;
}

static void closed(const char *ip)
{
	enum { ROUNDS = 50 };
	int port = own_port(), refused = 0;
	for (int i = 0; i < ROUNDS; i++)
		refused += dial_error(ip, port) == ECONNREFUSED;
	is_int(refused, ROUNDS, "%s: a port that nobody ever had", ip);

	/* A port that was given by port 0 and is free again: the first candidate where ports are handed out in order. */
	int itself = 0;
	for (int i = 0; i < ROUNDS; i++) {
		int fd = bound(ip, 0);
		port = port_of(fd);
		close(fd);
		fd = tcp(ip);
		if (connect_to(fd, ip, port) == 0)
			itself += to_itself(fd);
		close(fd);
	}
	ok(itself <= by_chance(), "%s: a port that was just given back (%d)", ip, itself);

	/* The same by a dialer that port 0 has bound, after a listener: Tcl binds each client so. */
	for (int i = 0; i < ROUNDS; i++) {
		int fd = listener(ip, 0);
		port = port_of(fd);
		close(fd);
		fd = bound(i % 2 ? ip : strchr(ip, ':') ? "::" : "0.0.0.0", 0);
		if (connect_to(fd, ip, port) == 0)
			itself += to_itself(fd);
		close(fd);
	}
	ok(itself <= by_chance(), "%s: a port that was just listened on, from a bound socket (%d)", ip, itself);
}

int main(void)
{
	closed("127.0.0.1");
	closed("::1");
	return done();
}
