/* A name that no host has yet has an address, so that programs can start in any order; dialing it fails
 * with EHOSTUNREACH until the host is up, and again when it has ended. */
#include "hosts.h"

/* β as the others see it: its address is the same before it is there, while it is, and afterwards. */
static void unreachable(struct host a, const char *ip, const char *when)
{
	is_str(ask(a, "dial d β.lonet 80"), "EHOSTUNREACH", "%s: by name", when);
	is_str(ask(a, "dial d %s 80", ip), "EHOSTUNREACH", "%s: by address", when);
	union sa to = at(ip, 80);
	int fd = tcp_flags(ip, SOCK_NONBLOCK);
	is_err(connect(fd, &to.any, len_of(&to)), EHOSTUNREACH, "%s: non-blocking", when);
	close(fd);
}

int main(void)
{
	struct host a = host("α");
	char ip[64];
	snprintf(ip, sizeof ip, "%s", ask(a, "resolve β.lonet"));
	is_str(ask(a, "resolve β.lonet"), ip, "a name keeps its address");
	unreachable(a, ip, "only mentioned");
	ok(strcmp(ask(a, "resolve γ.lonet"), ip) != 0, "another name has another address");

	struct host b = host("β");
	is_str(ask(b, "listen l 0.0.0.0 81"), "ok", "β is up");
	is_str(ask(b, "resolve β.lonet"), ip, "β has the address that was given to its name");
	is_str(ask(a, "dial d β.lonet 80"), "ECONNREFUSED", "up, and nothing listens on the port");
	is_str(ask(a, "dial d β.lonet 81"), "ok", "up, and something does");
	ask(a, "close d");
	leave(b);
	unreachable(a, ip, "gone");

	/* Addresses of the network that no name has: the block's second half, and the network itself. */
	union sa to = at(ip, 80);
	to.v4.sin_addr.s_addr = htonl((ntohl(to.v4.sin_addr.s_addr) & 0xffff0000) | 0x8001);
	is_str(ask(a, "dial d %s 80", agent_ip(&to)), "EHOSTUNREACH", "an address that no name has");
	leave(a);
	return done();
}
