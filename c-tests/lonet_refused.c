/* A host that is up refuses dials where nothing listens: a socket that is only bound, has stopped
 * listening, or listens on another port, another host or only the loopback. */
#include "hosts.h"

int main(void)
{
	struct host a = host("α"), b = host("β");
	is_str(ask(b, "listen l 0.0.0.0 80"), "ok", "β listens on 80");
	is_str(ask(b, "bind s 0.0.0.0 81"), "ok", "β holds 81");
	is_str(ask(b, "listen lo 127.0.0.1 82"), "ok", "β listens on its loopback alone");
	is_str(ask(a, "listen l 0.0.0.0 83"), "ok", "α listens on 83");

	is_str(ask(a, "dial d β.lonet 80"), "ok", "where β listens");
	ask(b, "accept c l");
	is_str(ask(a, "dial e β.lonet 81"), "ECONNREFUSED", "where β has a socket that does not listen");
	is_str(ask(a, "dial e β.lonet 82"), "ECONNREFUSED", "where β listens on its loopback alone");
	is_str(ask(a, "dial e β.lonet 83"), "ECONNREFUSED", "where α listens, and β does not");
	is_str(ask(a, "dial e β.lonet 1"), "ECONNREFUSED", "where nobody does");
	ask(b, "close l");
	is_str(ask(a, "dial e β.lonet 80"), "ECONNREFUSED", "where β has stopped");
	is_str(ask(a, "peer d"), name(ask(a, "resolve β.lonet"), 80), "what was connected before stays so");
	leave(a);
	leave(b);
	return done();
}
