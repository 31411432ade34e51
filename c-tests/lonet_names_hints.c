/* getaddrinfo of a host: its addresses for each family and flag, and its canonical name. */
#include "resolve.h"
#include <locale.h>

static const char *canonical(int flags)
{
	static char name[300];
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME | flags };
	struct addrinfo *list;
	if (getaddrinfo("β.lonet", "80", &hints, &list))
		bail("getaddrinfo");
	snprintf(name, sizeof name, "%s", list->ai_canonname);
	freeaddrinfo(list);
	return name;
}

int main(void)
{
	char v4[128], v6[128], both[300];
	const char *ip4 = address_of("β.lonet", AF_INET), *ip6 = address_of("β.lonet", AF_INET6);
	ok(!strncmp(ip6, "fd6c:6f6e:6574:", 15), "the IPv6 face (%s)", ip6);
	snprintf(v4, sizeof v4, "%s:80/1", ip4);
	snprintf(v6, sizeof v6, "[%s]:80/1", ip6);
	snprintf(both, sizeof both, "%s [::ffff:%s]:80/1", v6, ip4);

	is_str(found("β.lonet", "80", AF_UNSPEC, SOCK_STREAM, 0), v4, "no family: IPv4 alone");
	is_str(found("β.lonet", "80", AF_UNSPEC, SOCK_STREAM, AI_ADDRCONFIG), v4, "with AI_ADDRCONFIG, too");
	is_str(found("β.lonet", "80", AF_UNSPEC, SOCK_STREAM, AI_V4MAPPED | AI_ALL), v4, "AI_ALL is for AF_INET6");
	is_str(found("β.lonet", "80", AF_INET, SOCK_STREAM, 0), v4, "AF_INET");
	is_str(found("β.lonet", "80", AF_INET6, SOCK_STREAM, 0), v6, "AF_INET6: the face");
	is_str(found("β.lonet", "80", AF_INET6, SOCK_STREAM, AI_ADDRCONFIG), v6, "with AI_ADDRCONFIG");
	is_str(found("β.lonet", "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED), v6, "AI_V4MAPPED: there is an IPv6 address");
	is_str(found("β.lonet", "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ALL), both, "with AI_ALL: both");
	is_str(found("β.lonet", "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ADDRCONFIG), v6,
	       "AI_V4MAPPED with AI_ADDRCONFIG: a host has IPv6 addresses");
	is_str(found("β.lonet", "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ALL | AI_ADDRCONFIG), both,
	       "and IPv4 ones");

	setlocale(LC_ALL, "C");
	is_str(canonical(0), "xn--nxa.lonet", "the canonical name is ASCII");
	is_str(canonical(AI_CANONIDN), "xn--nxa.lonet", "also where the locale has no other characters");
	if (setlocale(LC_ALL, "C.UTF-8")) {
		is_str(canonical(AI_CANONIDN), "β.lonet", "AI_CANONIDN: as it was given");
		is_str(canonical(0), "xn--nxa.lonet", "and without it ASCII");
	}
	return done();
}
