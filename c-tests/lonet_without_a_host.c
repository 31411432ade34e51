/* Without LONET_HOST a program's sockets are the machine's, and only .lonet names are special. Binding a
 * host's address makes a socket the host's. A program that dials a host gets an implicit host, named after
 * it, until it ends. */
#include "hosts.h"

int main(void)
{
	struct host m = machine(), a = host("α"), none = host(NULL), second = host(NULL), third;
	is_str(ask(a, "listen l 0.0.0.0 80"), "ok", "α listens");

	/* The machine's own loopback and addresses. */
	is_str(ask(none, "listen mine 127.0.0.1 0"), "ok", "127.0.0.1 is the machine's");
	int port = port_in(ask(none, "name mine"));
	is_str(ask(m, "dial d 127.0.0.1 %d", port), "ok", "where the machine reaches it");
	is_str(ask(none, "name mine"), name("127.0.0.1", port), "under that name");
	is_str(ask(m, "listen l 127.0.0.1 0"), "ok", "the machine listens");
	port = port_in(ask(m, "name l"));
	is_str(ask(none, "dial d 127.0.0.1 %d", port), "ok", "and is reached");
	is_str(ask(a, "dial d 127.0.0.1 %d", port), "ECONNREFUSED", "which a host would not");
	ok(atoi(ask(none, "autobind s 0.0.0.0")) > 1023, "port 0 gives a port of the kernel's");

	/* A host's address. */
	is_str(ask(none, "listen b β.lonet 80"), "ok", "binding β's address");
	is_str(ask(none, "autobind b2 β.lonet"), "1", "with ports of β's");
	is_str(ask(a, "dial d β.lonet 80"), "ok", "makes the socket β's");
	is_str(ask(none, "accept c b"), name(ask(a, "resolve α.lonet"), 1), "which α has dialed");
	is_str(ask(none, "listen b3 β.lonet 80"), "EADDRINUSE", "β's port 80 is held");
	ask(none, "close b2");
	is_str(ask(none, "autobind b2 β.lonet"), "2", "a port that was closed unused is not given again");
	is_str(ask(none, "autobind g γ.lonet"), "1", "γ has ports of its own");
	ask(none, "close g");

	/* Dialing. */
	ask(second, "comm dialer");
	is_str(ask(second, "dial d α.lonet 80"), "ok", "a program that only dials");
	is_str(ask(a, "accept c1 l"), name(ask(a, "resolve dialer.lonet"), 1), "comes from a host of its name");
	is_str(ask(second, "dial e α.lonet 80"), "ok", "its second dial");
	is_str(ask(a, "accept c2 l"), name(ask(a, "resolve dialer.lonet"), 2), "comes from there, too");
	third = host(NULL);
	ask(third, "comm dialer");
	is_str(ask(third, "dial d α.lonet 80"), "ok", "a second program of that name");
	is_str(ask(a, "accept c3 l"), name(ask(a, "resolve dialer-2.lonet"), 1), "has a host of its own");
	leave(second);
	for (int i = 1; i <= 3; i++)
		ask(a, "close c%d", i);
	second = host(NULL);
	ask(second, "comm dialer");
	is_str(ask(second, "dial d α.lonet 80"), "ok", "when the first has ended, the next of that name");
	is_str(ask(a, "accept c1 l"), name(ask(a, "resolve dialer.lonet"), 1), "gets its host");
	leave(second);

	/* From an address of the machine's. */
	is_str(ask(third, "bind from 127.0.0.1 0"), "ok", "a socket that is bound to the machine's loopback");
	is_str(ask(third, "dial from α.lonet 80"), "ok", "dials a host");
	is_str(ask(a, "accept c5 l"), ask(third, "name from"), "which sees it there");
	is_str(ask(third, "peer from"), name(ask(a, "resolve α.lonet"), 80), "and is its peer");
	leave(third);
	leave(none);
	leave(a);
	leave(m);
	return done();
}
