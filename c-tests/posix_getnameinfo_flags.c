/* getnameinfo: flags, short buffers and errors. */
#include "resolve.h"

static union sa a;
static char host[NI_MAXHOST], serv[NI_MAXSERV];

static int look(size_t host_len, size_t serv_len, int flags)
{
	strcpy(host, "#");
	strcpy(serv, "#");
	return getnameinfo(&a.any, len_of(&a), host_len ? host : NULL, (socklen_t)host_len, serv_len ? serv : NULL,
			   (socklen_t)serv_len, flags);
}

int main(void)
{
	const char *ip = address_of(sure_name(), AF_INET);
	a = at(ip, 80);

	is_int(look(sizeof host, sizeof serv, 0), 0, "name and service");
	ok(strcmp(host, ip), "the name is no number (%s)", host);
	is_str(serv, "http", "the service by name");
	size_t n = strlen(host);

	is_int(look(sizeof host, sizeof serv, NI_NUMERICHOST | NI_NUMERICSERV), 0, "both as numbers");
	is_str(host, ip, "the address");
	is_str(serv, "80", "the port");
	is_int(look(sizeof host, 0, NI_NUMERICHOST), 0, "no service asked for");
	is_int(look(0, sizeof serv, 0), 0, "no name asked for");
	is_str(serv, "http", "the service alone");
	is_int(look(sizeof host, sizeof serv, NI_NAMEREQD), 0, "NI_NAMEREQD: there is one");
	is_int(look(0, 0, NI_NAMEREQD), EAI_NONAME, "nothing asked for");
	is_int(look(n, 0, 0), EAI_OVERFLOW, "no room for the closing zero");
	is_int(look(n + 1, 0, 0), 0, "just enough room");
	is_int(strlen(host), n, "all of it");
	is_int(look(sizeof host, 2, NI_NUMERICSERV), EAI_OVERFLOW, "no room for the service");
	is_int(look(sizeof host, sizeof serv, 1 << 20), EAI_BADFLAGS, "an unknown flag");

	is_int(getnameinfo(&a.any, sizeof a.v4 - 1, host, sizeof host, NULL, 0, 0), EAI_FAMILY, "a short address");
	a = at("::1", 80);
	is_int(getnameinfo(&a.any, sizeof a.v6 - 4, host, sizeof host, NULL, 0, 0), EAI_FAMILY, "a short IPv6 one");
	a.any.sa_family = 77;
	is_int(getnameinfo(&a.any, sizeof a.v4, host, sizeof host, NULL, 0, 0), EAI_FAMILY, "an unknown family");

	union sa mapped = { .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) } };
	char text_of_it[64];
	snprintf(text_of_it, sizeof text_of_it, "::ffff:%s", ip);
	inet_pton(AF_INET6, text_of_it, &mapped.v6.sin6_addr);
	a = mapped;
	is_int(look(sizeof host, 0, NI_NUMERICHOST), 0, "a v4-mapped address as a number");
	is_str(host, text_of_it, "stays one");
	return done();
}
