/* Addresses that are not lonet's are left to the kernel, also within 127.0.0.0/8: 127.0.0.53 is a resolver
 * on many machines. */
#include "hosts.h"

int main(void)
{
	struct host m = machine();
	static const char *const ips[] = { "127.0.0.53", "127.0.1.1", "127.255.255.1" };
	for (int i = 0; i < 3; i++) {
		is_str(ask(m, "listen l%d %s 0", i, ips[i]), "ok", "the machine listens on %s", ips[i]);
		int port = port_in(ask(m, "name l%d", i)), fd = tcp(ips[i]);
		is_err(connect_to(fd, ips[i], port), 0, "a host reaches %s", ips[i]);
		is_str(peername(fd), name(ips[i], port), "under its name");
		char dialer[64];
		snprintf(dialer, sizeof dialer, "%s", sockname(fd));
		is_str(ask(m, "accept c l%d", i), dialer, "and both ends agree on the caller's");
		close(fd);
		fd = tcp(ips[i]);
		is_err(bind_to(fd, ips[i], port), EADDRINUSE, "%s is held, also for a host", name(ips[i], port));
		is_err(bind_to(fd, ips[i], 0), 0, "a host binds %s", ips[i]);
		ok(port_of(fd) > 1023, "and gets a port of the kernel's");
		close(fd);
		ask(m, "close c");
	}
	int fd = tcp("127.0.0.53");
	is_err(connect_to(fd, "127.0.0.53", own_port()), ECONNREFUSED, "where nobody listens");
	close(fd);
	leave(m);
	return done();
}
