/* The time limit of lonet_dial includes waiting for a lonetd that does not reply. */
#include "api.h"

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	int l = listening(a, ":80");
	pid_t daemon = daemon_of(net);

	/* Without the limit the answer would be ENETDOWN, after lonetd's own limit. */
	kill(daemon, SIGSTOP);
	is_fail(lonet_dial(b, "α:80", 50), ETIMEDOUT,
	        "dial %s β->α:80: lonetd does not answer within the time limit", lonet_network(net));
	kill(daemon, SIGCONT);

	int d = dialed(b, "α:80");
	is_addr(local(d), "β:1", "the dial that was given up holds no port");
	int s = lonet_accept(l, 0, NULL, NULL);
	ok(s >= 0 && passes(d, s), "and the next one leads there");
	close(d);
	close(s);
	close(l);
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
