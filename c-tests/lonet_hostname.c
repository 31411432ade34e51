/* A host's hostname is its name, which the resolver finds, and its interfaces have its addresses. */
#include "resolve.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/utsname.h>

int main(void)
{
	char name[256], domain[256], v4[64], v6[64];
	struct utsname u;
	if (gethostname(name, sizeof name) || getdomainname(domain, sizeof domain) || uname(&u))
		bail("names");
	const char *own = getenv("LONET_HOST");
	char want[300];
	snprintf(want, sizeof want, "%s.lonet", own);
	is_str(name, want, "gethostname");
	is_str(u.nodename, want, "uname");
	is_str(domain, "lonet", "the domain");

	snprintf(v4, sizeof v4, "%s", address_of(name, AF_INET));
	snprintf(v6, sizeof v6, "%s", address_of(name, AF_INET6));
	int s = tcp("127.0.0.1");
	is_err(bind_to(s, v4, 0), 0, "the resolver finds an address that is the host's own");
	close(s);

	struct ifaddrs *all;
	int has4 = 0, has6 = 0, others = 0;
	if (getifaddrs(&all))
		bail("getifaddrs");
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		char ip[64];
		int family = i->ifa_addr->sa_family;
		others += strcmp(i->ifa_name, "lo") && strcmp(i->ifa_name, "lonet0");
		if (family == AF_PACKET || strcmp(i->ifa_name, "lonet0"))
			continue;
		socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		getnameinfo(i->ifa_addr, len, ip, sizeof ip, NULL, 0, NI_NUMERICHOST);
		has4 += !strcmp(ip, v4);
		has6 += !strcmp(ip, v6);
		ok(!(i->ifa_flags & IFF_LOOPBACK) && i->ifa_flags & IFF_UP, "lonet0 is up and no loopback");
	}
	freeifaddrs(all);
	is_int(has4, 1, "lonet0 has the IPv4 address");
	is_int(has6, 1, "and the IPv6 face");
	is_int(others, 0, "the machine's interfaces are not the host's");
	return done();
}
