/* A host never reaches the machine's own services by accident. With LONET_LOOPBACK=real, dials to its
 * loopback that the host does not serve reach them. */
#include "hosts.h"

int main(void)
{
	static const char *const real[] = { "LONET_LOOPBACK=real", NULL };
	struct host m = machine(), a = host("α"), r = host_with("ρ", real);
	is_str(ask(m, "listen any 0.0.0.0 0"), "ok", "the machine listens on all its addresses");
	is_str(ask(m, "listen l 127.0.0.1 0"), "ok", "the machine has a service on its loopback");
	int wild = port_in(ask(m, "name any")), port = port_in(ask(m, "name l"));

	is_str(ask(a, "dial d 127.0.0.1 %d", port), "ECONNREFUSED", "a host does not reach it");
	is_str(ask(a, "dial d 127.0.0.1 %d", wild), "ECONNREFUSED", "nor what listens on all addresses");
	is_str(ask(a, "dial d localhost %d", wild), "ECONNREFUSED", "under no name");
	is_str(ask(a, "dial d α.lonet %d", wild), "ECONNREFUSED", "nor at its own address");
	is_str(ask(r, "dial d α.lonet %d", wild), "ECONNREFUSED", "nor at another host's");

	is_str(ask(r, "dial d 127.0.0.1 %d", port), "ok", "with LONET_LOOPBACK=real it does");
	is_str(ask(m, "accept c l"), ask(r, "name d"), "both call the connection by the same name");
	is_str(ask(r, "peer d"), name("127.0.0.1", port), "the machine's own");
	is_str(ask(r, "listen l 127.0.0.1 %d", port), "ok", "the host can have the same port on its loopback");
	is_str(ask(r, "dial e 127.0.0.1 %d", port), "ok", "which is then what it reaches");
	is_str(ask(r, "name e"), ask(r, "accept c l"), "itself");
	is_str(ask(r, "dial f ::1 1"), "ECONNREFUSED", "where neither listens");
	leave(a);
	leave(r);
	leave(m);
	return done();
}
