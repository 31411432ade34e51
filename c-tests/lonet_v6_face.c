/* Programs that insist on IPv6 get it: every host has an address in fd6c:6f6e:6574::/48, which they can
 * resolve, bind, dial and see, while the same host can be reached over IPv4 as well. */
#include "hosts.h"

int main(void)
{
	struct host a = host("α"), b = host("β");
	char a6[64], b6[64], b4[64], a4[64];
	snprintf(a6, sizeof a6, "%s", ask(a, "resolve6 α.lonet"));
	snprintf(b6, sizeof b6, "%s", ask(a, "resolve6 β.lonet"));
	snprintf(a4, sizeof a4, "%s", ask(a, "resolve α.lonet"));
	snprintf(b4, sizeof b4, "%s", ask(a, "resolve β.lonet"));
	ok(!strncmp(b6, "fd6c:6f6e:6574:", 15), "β's IPv6 address is lonet's: %s", b6);
	ok(strcmp(a6, b6) != 0, "α's is another");

	is_str(ask(b, "listen six %s 80", b6), "ok", "β listens on its IPv6 address");
	is_str(ask(b, "name six"), name(b6, 80), "and is told that");
	is_str(ask(a, "dial d %s 80", b6), "ok", "α dials it");
	is_str(ask(a, "peer d"), name(b6, 80), "and is told that");
	is_str(ask(a, "name d"), name(a6, 1), "as what it dials from");
	is_str(ask(b, "accept c six"), name(a6, 1), "β sees α's IPv6 address");
	is_str(ask(b, "name c"), name(b6, 80), "at its own");
	is_str(ask(a, "dial e %s 80", b4), "ECONNREFUSED", "IPv4 is another listener, and there is none");
	is_str(ask(b, "listen four %s 80", b4), "ok", "which can be had on the same port");
	is_str(ask(a, "dial e %s 80", b4), "ok", "and is reached");
	is_str(ask(b, "accept f four"), name(a4, 2), "from α's IPv4 address");

	is_str(ask(b, "listen any :: 90"), "ok", "β listens on [::]");
	is_str(ask(a, "dial g %s 90", b6), "ok", "reached over IPv6");
	is_str(ask(b, "accept h any"), name(a6, 3), "from α's IPv6 address");
	is_str(ask(a, "dial i %s 90", b4), "ok", "and over IPv4");
	char mapped[80];
	snprintf(mapped, sizeof mapped, "[::ffff:%s]:4", a4);
	is_str(ask(b, "accept j any"), mapped, "from α's IPv4 address, v4-mapped");
	leave(a);
	leave(b);
	return done();
}
