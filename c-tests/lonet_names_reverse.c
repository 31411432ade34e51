/* Every address of a host resolves to its name; one without a host has none, and no name server is
 * queried. */
#include "resolve.h"
#include <locale.h>

static char host[NI_MAXHOST];

static int reverse(union sa a, int flags)
{
	return getnameinfo(&a.any, len_of(&a), host, sizeof host, NULL, 0, flags);
}

static struct hostent *entry_of(union sa a)
{
	return a.any.sa_family == AF_INET ? gethostbyaddr(&a.v4.sin_addr, 4, AF_INET) :
					    gethostbyaddr(&a.v6.sin6_addr, 16, AF_INET6);
}

int main(void)
{
	setlocale(LC_ALL, "C.UTF-8");
	const char *v4 = address_of("β.lonet", AF_INET), *v6 = address_of("β.lonet", AF_INET6);
	char mapped[64];
	snprintf(mapped, sizeof mapped, "::ffff:%s", v4);
	const char *const all[] = { v4, v6, mapped };
	for (int i = 0; i < 3; i++) {
		union sa a = at(all[i], 80);
		is_int(reverse(a, 0), 0, "getnameinfo of %s", all[i]);
		is_str(host, "xn--nxa.lonet", "is the name in ASCII");
		is_int(reverse(a, NI_IDN | NI_NAMEREQD), 0, "NI_IDN");
		is_str(host, "β.lonet", "is the name as given");
		is_int(reverse(a, NI_NOFQDN), 0, "NI_NOFQDN");
		is_str(host, "xn--nxa", "leaves out the domain that both are in");
		is_int(reverse(a, NI_NUMERICHOST), 0, "NI_NUMERICHOST");
		is_str(host, all[i], "is the address");

		struct hostent *h = entry_of(a);
		if (!h)
			bail("gethostbyaddr");
		is_str(h->h_name, "xn--nxa.lonet", "gethostbyaddr");
		is_str(h->h_aliases[0], "β.lonet", "has the name as given as alias");
		ok(!h->h_aliases[1] && !h->h_addr_list[1], "and nothing else");
		is_int(h->h_addrtype, a.any.sa_family, "the family is the question's");
	}

	/* A block has 65024 hosts at most, and this one has few. */
	char nobody[64];
	snprintf(nobody, sizeof nobody, "%s", v4);
	strcpy(strrchr(nobody, '.'), ".200");
	union sa a = at(nobody, 80);
	is_int(reverse(a, NI_NAMEREQD), EAI_NONAME, "nobody's address has no name");
	is_int(reverse(a, 0), 0, "if none is required");
	is_str(host, nobody, "it is the number");
	h_errno = 0;
	ok(!entry_of(a), "nor has gethostbyaddr one");
	is_int(h_errno, HOST_NOT_FOUND, "h_errno");

	a = at("127.0.0.1", 80);
	is_int(reverse(a, 0), 0, "127.0.0.1 is libc's");
	is_str(host, "localhost", "localhost");
	return done();
}
