/* resolve.h - names and addresses for the tests of the resolver. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include "net.h"
#include <netdb.h>

static inline int addresses_of(const char *name, int family)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM }, *list = NULL;
	int n = 0;
	if (getaddrinfo(name, NULL, &hints, &list))
		return 0;
	for (struct addrinfo *at = list; at; at = at->ai_next)
		n++;
	freeaddrinfo(list);
	return n;
}

/* A name that is surely there and has one IPv4 address: the host's own under lonet, else localhost; where /etc/hosts has that
 * for ::1, too, as Debian's installer leaves it, glibc finds 127.0.0.1 twice, and once by ::1's other name. */
static inline const char *sure_name(void)
{
	static char own[256];
	if (gethostname(own, sizeof own) == 0) {
		size_t n = strlen(own);
		if (n > 6 && !strcmp(own + n - 6, ".lonet"))
			return own;
	}
	return addresses_of("localhost", AF_INET) > 1 && addresses_of("ip6-localhost", AF_INET) == 1 ? "ip6-localhost" :
	                                                                                               "localhost";
}

/* What getaddrinfo finds, as "127.0.0.1:80/1 …" with the socket type behind the slash, or the error's name. */
static inline const char *found(const char *node, const char *service, int family, int type, int flags)
{
	static char ring[16][512];
	static unsigned turn;
	char *out = ring[turn++ % 16];
	struct addrinfo hints = { .ai_family = family, .ai_socktype = type, .ai_flags = flags }, *list = NULL;
	int code = getaddrinfo(node, service, &hints, &list);
	if (code) {
		snprintf(out, 512, "error %d", code);
		return out;
	}
	out[0] = 0;
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		union sa sa;
		memcpy(&sa, a->ai_addr, a->ai_addrlen);
		size_t n = strlen(out);
		snprintf(out + n, 512 - n, "%s%s/%d", n ? " " : "", text(&sa), a->ai_socktype);
	}
	freeaddrinfo(list);
	return out;
}

/* The first address of a name as text, without a port. */
static inline const char *address_of(const char *node, int family)
{
	static char ring[16][64];
	static unsigned turn;
	char *out = ring[turn++ % 16];
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM }, *list = NULL;
	int code = getaddrinfo(node, NULL, &hints, &list);
	if (code) {
		snprintf(out, 64, "error %d", code);
		return out;
	}
	getnameinfo(list->ai_addr, list->ai_addrlen, out, 64, NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(list);
	return out;
}

#endif
