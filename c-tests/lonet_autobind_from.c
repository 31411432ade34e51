/* LONET_AUTOBIND leaves the ports below it to servers that bind them by number. It applies to one program:
 * others on the same host start with the lowest port. */
#include "hosts.h"

int main(void)
{
	static const char *const from[] = { "LONET_AUTOBIND=1024", NULL };
	struct host a = host_with("α", from), other = host("α");
	is_str(ask(a, "autobind s1 0.0.0.0"), "1024", "the first");
	is_str(ask(a, "autobind s2 0.0.0.0"), "1025", "the second");
	is_str(ask(a, "listen l 0.0.0.0 80"), "ok", "a lower one by number");
	is_str(ask(a, "dial d α.lonet 80"), "ok", "a dial");
	is_int(port_in(ask(a, "name d")), 1026, "begins there, too");
	is_str(ask(other, "autobind s1 0.0.0.0"), "1", "another program of the host begins at 1");
	ask(a, "close s1");
	is_str(ask(a, "first s1 0.0.0.0"), "1024", "the first free one, from there on");
	leave(a);
	leave(other);

	static const char *const last[] = { "LONET_AUTOBIND=65535", NULL };
	a = host_with("α", last);
	is_str(ask(a, "autobind s1 0.0.0.0"), "65535", "the last port there is");
	is_str(ask(a, "autobind s2 0.0.0.0"), "EADDRINUSE", "after which there is none");
	leave(a);

	static const char *const two[] = { "LONET_AUTOBIND=65534", NULL };
	static const char *const given[] = { "65534", "65535", "65534", "65534" };
	a = host_with("α", two);
	for (int i = 0; i < 4; i++) {
		is_str(ask(a, "autobind s 0.0.0.0"), given[i], "bind %d of two ports, each closed unused", i);
		ask(a, "close s");
	}
	leave(a);
	return done();
}
