/* The OS port of a listener is its lonet port if available, so that programs outside lonet reach it; with
 * LONET_OS_PORTS=private always a different one, so that it never takes a port from them. Lonet addresses
 * are the same in both. */
#include "hosts.h"

int main(void)
{
	static const char *const private_ports[] = { "LONET_OS_PORTS=private", NULL };
	struct host m = machine(), a = host("α"), p = host_with("π", private_ports);
	int port = own_port();
	is_str(ask(a, "listen l 0.0.0.0 %d", port), "ok", "α listens");
	is_str(ask(p, "listen l 0.0.0.0 %d", port), "ok", "so does π, which keeps its ports private");
	is_str(ask(p, "name l"), name("0.0.0.0", port), "on the same lonet port, it is told");
	is_str(ask(a, "dial d π.lonet %d", port), "ok", "and found there");
	is_str(ask(a, "peer d"), name(ask(a, "resolve π.lonet"), port), "under that name");
	is_str(ask(m, "dial d %s %d", ask(a, "resolve α.lonet"), port), "ok", "the machine reaches α at its lonet address");
	is_str(ask(m, "dial e %s %d", ask(a, "resolve π.lonet"), port), "ECONNREFUSED", "and not π");

	/* A host of another network may take the port just then. */
	const char *taken = "EADDRINUSE";
	for (int n = 0; n < 100 && !strcmp(taken, "EADDRINUSE"); n++) {
		port = own_port();
		taken = ask(m, "listen w 0.0.0.0 %d", port);
	}
	is_str(taken, "ok", "a program of the machine's holds a port on all addresses");
	is_str(ask(a, "listen k 0.0.0.0 %d", port), "ok", "a host has it all the same");
	is_str(ask(p, "dial e α.lonet %d", port), "ok", "and is reached");
	is_str(ask(a, "accept c k"), ask(p, "name e"), "itself");
	leave(a);
	leave(p);
	leave(m);
	return done();
}
