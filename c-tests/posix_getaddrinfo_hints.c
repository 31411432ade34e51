/* getaddrinfo handles hints, services, socket types and errors alike for any name. */
#include "resolve.h"

int main(void)
{
	const char *host = sure_name(), *ip = address_of(host, AF_INET);
	struct addrinfo hints = { 0 }, *list;
	char want[256];

	snprintf(want, sizeof want, "%s:80/1", ip);
	is_str(found(host, "80", AF_INET, SOCK_STREAM, 0), want, "a number as service");
	is_str(found(host, "http", AF_INET, SOCK_STREAM, 0), want, "a name as service");
	is_str(found(host, "0080", AF_INET, SOCK_STREAM, AI_NUMERICSERV), want, "AI_NUMERICSERV");
	is_str(found(host, "80", AF_INET, SOCK_STREAM, AI_PASSIVE), want, "AI_PASSIVE says nothing to a name");
	snprintf(want, sizeof want, "%s:80/1 %s:80/2 %s:80/3", ip, ip, ip);
	is_str(found(host, "80", AF_INET, 0, 0), want, "no socket type: all three");
	snprintf(want, sizeof want, "%s:0/2", ip);
	is_str(found(host, NULL, AF_INET, SOCK_DGRAM, 0), want, "no service: port 0");

	static const struct {
		const char *what, *service;
		int family, type, flags, code;
	} errors[] = {
		{ "AI_NUMERICHOST refuses a name", "80", AF_INET, SOCK_STREAM, AI_NUMERICHOST, EAI_NONAME },
		{ "also without a family", NULL, AF_UNSPEC, 0, AI_NUMERICHOST, EAI_NONAME },
		{ "an unknown family", "80", 77, SOCK_STREAM, 0, EAI_FAMILY },
		{ "an unknown flag", "80", AF_INET, SOCK_STREAM, 0x400000, EAI_BADFLAGS },
		{ "an unknown service", "no-such-service", AF_INET, SOCK_STREAM, 0, EAI_SERVICE },
		{ "AI_NUMERICSERV refuses a name", "http", AF_INET, SOCK_STREAM, AI_NUMERICSERV, EAI_NONAME },
		{ "a service with something behind it", "80 ", AF_INET, SOCK_STREAM, 0, EAI_SERVICE },
		{ "an unknown socket type", "80", AF_INET, 99, 0, EAI_SOCKTYPE },
	};
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		char code[32];
		snprintf(code, sizeof code, "error %d", errors[i].code);
		is_str(found(host, errors[i].service, errors[i].family, errors[i].type, errors[i].flags), code, "%s",
		       errors[i].what);
	}

	hints.ai_socktype = SOCK_STREAM;
	hints.ai_protocol = IPPROTO_UDP;
	is_int(getaddrinfo(host, "80", &hints, &list), EAI_SOCKTYPE, "STREAM and UDP do not go together");
	is_int(getaddrinfo(NULL, NULL, &hints, &list), EAI_NONAME, "neither node nor service");
	hints = (struct addrinfo){ .ai_flags = AI_CANONNAME };
	is_int(getaddrinfo(NULL, "80", &hints, &list), EAI_BADFLAGS, "AI_CANONNAME without a node");

	is_int(getaddrinfo(host, "80", NULL, &list), 0, "no hints at all");
	int all = 0, named = 0;
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		all++;
		named += a->ai_canonname != NULL;
	}
	ok(all >= 3, "the three socket types (%d entries)", all);
	is_int(named, 0, "no canonical name that nobody asked for");
	freeaddrinfo(list);

	hints = (struct addrinfo){ .ai_family = AF_INET, .ai_flags = AI_CANONNAME };
	is_int(getaddrinfo(host, "80", &hints, &list), 0, "AI_CANONNAME");
	ok(list->ai_canonname && *list->ai_canonname, "names the first entry");
	ok(!list->ai_next->ai_canonname, "and no other");
	/* A program may take the list apart. */
	struct addrinfo *rest = list->ai_next;
	list->ai_next = NULL;
	freeaddrinfo(list);
	freeaddrinfo(rest);
	ok(1, "entries can be freed one by one");
	return done();
}
