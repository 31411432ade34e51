/* A host can bind its own address and no other host's. */
#include "hosts.h"

int main(void)
{
	struct host a = host("α"), b = host("β");
	is_str(ask(b, "listen l 0.0.0.0 80"), "ok", "β is up");
	for (int six = 0; six < 2; six++) {
		const char *resolve = six ? "resolve6" : "resolve", *face = six ? "IPv6" : "IPv4";
		is_str(ask(a, "bind s %s 80", ask(a, "%s α.lonet", resolve)), "ok", "%s: α's own address", face);
		is_str(ask(a, "bind t %s 90", ask(a, "%s β.lonet", resolve)), "EADDRNOTAVAIL", "%s: β's address", face);
		is_str(ask(a, "bind t %s 0", ask(a, "%s β.lonet", resolve)), "EADDRNOTAVAIL", "%s: β's, any port", face);
		is_str(ask(a, "bind t %s 90", ask(a, "%s γ.lonet", resolve)), "EADDRNOTAVAIL",
		       "%s: that of a name nobody has", face);
		ask(a, "close s");
	}
	int fd = tcp("127.0.0.1"), one = 1;
	union sa other = at(ask(a, "resolve β.lonet"), 90);
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
	is_err(bind(fd, &other.any, len_of(&other)), EADDRNOTAVAIL, "β's address, with IP_FREEBIND");
	is_str(ask(a, "bind t 192.0.2.1 90"), "EADDRNOTAVAIL", "an address that the machine has not");
	leave(a);
	leave(b);
	return done();
}
