/* gethostbyname and gethostbyname2 of a host: the name is in ASCII, the name as given is an alias. */
#include "resolve.h"

int main(void)
{
	char ip[64];
	const char *v4 = address_of("β.lonet", AF_INET), *v6 = address_of("β.lonet", AF_INET6);
	struct hostent *h = gethostbyname("β.lonet");
	if (!h)
		bail("gethostbyname");
	is_str(h->h_name, "xn--nxa.lonet", "the name is ASCII");
	is_str(h->h_aliases[0], "β.lonet", "the alias is the name as given");
	is_int(h->h_addrtype, AF_INET, "the family");
	is_str(inet_ntop(AF_INET, h->h_addr_list[0], ip, sizeof ip), v4, "the address is getaddrinfo's");
	ok(!h->h_addr_list[1] && !h->h_aliases[1], "one each");

	h = gethostbyname2("β.lonet", AF_INET6);
	if (!h)
		bail("gethostbyname2");
	is_int(h->h_addrtype, AF_INET6, "AF_INET6");
	is_int(h->h_length, 16, "the length");
	is_str(inet_ntop(AF_INET6, h->h_addr_list[0], ip, sizeof ip), v6, "the address is getaddrinfo's");

	h = gethostbyname("gamma.lonet");
	ok(h && !strcmp(h->h_name, "gamma.lonet") && !h->h_aliases[0], "an ASCII name has no alias");
	h_errno = 0;
	ok(!gethostbyname("a.b.lonet"), "what cannot be a host");
	is_int(h_errno, HOST_NOT_FOUND, "is not found");
	h = gethostbyname("127.0.0.1");
	ok(h && !memcmp(h->h_addr_list[0], "\x7f\0\0\1", 4), "numbers are libc's");
	return done();
}
