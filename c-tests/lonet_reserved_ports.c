/* Functions that choose a port below 1024 themselves use the host's ports, the same ones each time; other
 * hosts see these, and a listener there is the host's alone. */
#include "lonet.h"
#include "hosts.h"

enum { RESERVED = 512 };

/* A socket of bindresvport's. */
static int reserved(void)
{
	int fd = tcp("0.0.0.0");
	if (bindresvport(fd, NULL))
		bail("bindresvport");
	return fd;
}

int main(void)
{
	const char *own = address_of("α.lonet");
	struct host beta = host("β");

	int first = reserved(), second = reserved(), port = 1023, third = rresvport(&port);
	is_int(port_of(first), 600, "bindresvport: the first port");
	is_int(port_of(second), 601, "bindresvport: the second");
	is_int(port_of(third), 1023, "rresvport: what it was asked for");
	is_int(next_port(), 1, "autobind has its own");
	close(second);
	second = reserved();
	is_int(port_of(second), 602, "bindresvport goes on");

	listen(first, 8);
	is_str(sockname(first), "0.0.0.0:600", "it listens");
	is_str(ask(beta, "dial s α.lonet 600"), "ok", "β dials it");
	int accepted = take(first);
	is_str(sockname(accepted), name(own, 600), "it is α:600");
	close(accepted);
	ask(beta, "close s");

	is_str(ask(beta, "listen l 0.0.0.0 514"), "ok", "β listens on 514");
	const char *there = address_of("β.lonet");
	is_err(connect_to(third, there, 514), 0, "α dials it");
	is_str(ask(beta, "accept a l"), name(own, 1023), "from α:1023");
	is_str(sockname(third), name(own, 1023), "as getsockname says");

	close(first);
	close(second);
	close(third);
	static int all[RESERVED];
	int different = 1;
	char seen[1024] = { 0 };
	port = 701;
	for (int i = 0; i < RESERVED; i++) {
		port--;
		all[i] = rresvport(&port);
		different = different && all[i] >= 0 && !seen[port]++;
	}
	ok(different, "each of %d ports is somebody's", RESERVED);
	is_int(port, 701, "the last one is what comes last");
	is_err(rresvport(&port), EAGAIN, "rresvport: there is no other");
	int fd = tcp("0.0.0.0");
	is_err(bindresvport(fd, NULL), EADDRINUSE, "bindresvport: nor for it");
	close(fd);
	close_all(all, RESERVED);
	leave(beta);
	return done();
}
