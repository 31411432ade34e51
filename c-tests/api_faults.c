/* lonet_cut stops the traffic between two hosts, lonet_heal lets it through again, and lonet_faults
 * counts. */
#include "api.h"
#include <netinet/tcp.h>
#include <poll.h>

/* Waits until the kernel has sent again what was not acknowledged. */
static void lost(int fd)
{
	struct tcp_info info;
	socklen_t len;
	do {
		poll(NULL, 0, 5);
		len = sizeof info;
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
			bail("TCP_INFO: %s", strerror(errno));
	} while (info.tcpi_retransmits == 0);
}

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0), *c = host(net, "γ", 0);
	uint32_t rules = 7;
	uint64_t hits = 7;
	char text[8];

	int l = listening(b, ":80"), d = dialed(a, "β:80"), s = take(l), dc = dialed(c, "β:80"), sc = take(l);
	is_err(lonet_faults(net, &rules, &hits), 0, "asking");
	is_int(rules, 0, "there are no rules");
	is_int((int)hits, 0, "and no hits");
	is_err(lonet_cut(net, "α", "β"), 0, "a cut");
	is_err(lonet_faults(net, &rules, &hits), 0, "asking again");
	is_int(rules, 2, "a rule for each direction");
	is_int((int)hits, 0, "which have met nothing");
	is_int((int)write(d, "lost", 4), 4, "α writes");
	lost(d);
	is_int((int)recv(s, text, sizeof text, MSG_DONTWAIT), -1, "nothing arrives");
	is_int((int)write(dc, "here", 4), 4, "γ writes");
	is_int((int)read(sc, text, sizeof text), 4, "which arrives");
	int e = lonet_dial_start(a, "β:80");
	ok(e >= 0, "a dial begins");
	is_err(lonet_heal(net, "α", "β", &hits), 0, "heal");
	ok(hits >= 3, "what was sent, was sent again, and the dial have met the cut");
	is_int((int)read(s, text, sizeof text), 4, "what was lost arrives");
	struct pollfd made = { .fd = e, .events = POLLOUT };
	is_int(poll(&made, 1, -1), 1, "the dial is made");
	hits = 7;
	is_err(lonet_heal(net, NULL, NULL, &hits), 0, "heal where there is nothing to heal");
	is_int((int)hits, 0, "has no hits");
	is_err(lonet_cut(net, "α>β", NULL), 0, "one direction");
	is_err(lonet_faults(net, &rules, NULL), 0, "asking for one number alone");
	is_int(rules, 1, "is one rule");
	is_err(lonet_heal(net, "α", NULL, NULL), 0, "heal all of a host's");

	is_fail(lonet_cut(net, "α", "δ"), EHOSTUNREACH, "cut α δ: no host \"δ\" is up");
	is_fail(lonet_cut(net, "α", "α"), EINVAL, "cut α α: faults are between different hosts: what a host sends to itself always arrives");
	is_fail(lonet_cut(net, NULL, "β"), EINVAL, "cut β: without a host");
	is_fail(lonet_cut(net, "α,", NULL), EINVAL, "cut α,: \"α,\" contains an empty host name");
	is_fail(lonet_cut(net, "\xff", NULL), EINVAL, "cut \\xff: not UTF-8");
	is_fail(lonet_cut(NULL, "α", NULL), EINVAL, "cut: not a network's handle");
	is_err(lonet_leave(net), 0, "leaving");
	is_fail(lonet_faults(net, NULL, NULL), ENETDOWN, "faults: the network was left");
	return done();
}
