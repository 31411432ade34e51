/* An unspecified port is the lowest free one, counting from 1, for bind, listen and dial, in either
 * family, on the loopback or not. Each host has ports of its own.
 * (lonet_bind_to_port_0_passes_over_unused_ports tests what a second bind gets.) */
#include "hosts.h"

int main(void)
{
	struct host a = host("α"), b = host("β");
	is_str(ask(a, "autobind s1 0.0.0.0"), "1", "the first bind to port 0");
	is_str(ask(a, "autobind s2 127.0.0.1"), "2", "on the loopback");
	is_str(ask(a, "autobind s3 ::"), "3", "on [::]");
	is_str(ask(a, "autobind s4 α.lonet"), "4", "on the host's own address");
	is_str(ask(a, "bind s6 0.0.0.0 6"), "ok", "6, asked for by number");
	is_str(ask(a, "autobind s5 0.0.0.0"), "5", "what is free below 6 comes first");
	is_str(ask(a, "autobind s7 0.0.0.0"), "7", "6 is passed over");

	ask(a, "close s2");
	ask(a, "close s5");
	is_str(ask(a, "first s2 0.0.0.0"), "2", "of two free ports the lower one");
	is_str(ask(a, "first s5 0.0.0.0"), "5", "then the other");
	is_str(ask(a, "autobind s8 0.0.0.0"), "8", "then one that was never held");

	is_str(ask(b, "autobind s1 0.0.0.0"), "1", "another host begins at 1");
	is_str(ask(b, "listen s80 0.0.0.0 80"), "ok", "β listens on 80");
	ask(b, "dial d β.lonet 80");
	is_int(port_in(ask(b, "name d")), 2, "a dial takes the first free port, too");
	ask(a, "dial d β.lonet 80");
	is_int(port_in(ask(a, "name d")), 9, "of the host that dials");
	leave(b);
	leave(a);
	return done();
}
