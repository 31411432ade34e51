/* The addresses of a whole session: ports from 1 on, the lowest free one each time. */
#include "api.h"

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	struct ends e;

	is_fail(lonet_dial(a, ":0", -1), ECONNREFUSED, "dial %s α:1->α:0: connection refused", lonet_network(net));
	int la = lonet_listen(a, "", 8);
	is_addr(local(la), "α:1", "the first listener of α");
	is_fail(lonet_dial(a, ":0", -1), ECONNREFUSED, "dial %s α:2->α:0: connection refused", lonet_network(net));

	int first = lonet_dial(b, "α:1", -1);
	is_addr(local(first), "β:1", "the first dialer");
	is_addr(peer(first), "α:2", "is told the port that the accepted end will have");
	e = accepted(la);
	is_addr(e.local, "α:2", "the accepted end has it");
	is_addr(e.peer, "β:1", "and sees the dialer");

	int second = lonet_dial(b, "α:1", -1);
	is_addr(local(second), "β:2", "the second dialer, the first still open");
	is_addr(peer(second), "α:3", "its peer");
	struct ends e2 = accepted(la);
	is_addr(e2.local, "α:3", "the second accepted end");
	is_addr(e2.peer, "β:2", "its peer");

	int lb = lonet_listen(a, ":0", 8);
	is_addr(local(lb), "α:4", "another listener");
	ok(passes(first, e.fd) && passes(second, e2.fd), "bytes pass");

	is_fail(lonet_dial(b, "α:11", -1), ECONNREFUSED, "dial %s β:3->α:11: connection refused", lonet_network(net));
	is_fail(lonet_dial(b, "γ:11", -1), EHOSTUNREACH, "dial %s β:3->γ:11: no such host", lonet_network(net));
	close(first);
	close(second);
	close(e.fd);
	close(e2.fd);
	close(la);
	close(lb);

	int lc = lonet_listen(a, ":10", 8);
	is_addr(local(lc), "α:10", "a listener on a port of its own choice");
	int third = lonet_dial(b, "α:10", -1);
	e = accepted(lc);
	is_addr(e.local, "α:1", "accepts on the first free port");
	is_addr(e.peer, "β:1", "a dialer that has its first free port");
	close(third);
	close(e.fd);
	close(lc);

	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
