/* A program that looks a name up again sees what has become of its host. */
#include "hosts.h"

/* The canonical name and address of b, however it is spelled. */
static const char *canonical(void)
{
	static char ring[8][300];
	static unsigned turn;
	char *out = ring[turn++ % 8];
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME }, *list;
	if (getaddrinfo("host-b.lonet", NULL, &hints, &list))
		bail("getaddrinfo");
	snprintf(out, 300, "%s %s", list->ai_canonname, text((union sa *)list->ai_addr));
	freeaddrinfo(list);
	return out;
}

/* Asks twice: the second answer is one that was given before, if any is. */
static const char *twice(void)
{
	const char *first = canonical(), *second = canonical();
	return strcmp(first, second) ? "two answers" : second;
}

int main(void)
{
	char mentioned[300], up[300], renamed[300];
	snprintf(mentioned, sizeof mentioned, "%s", twice());
	ok(!strncmp(mentioned, "host-b.lonet 127.", 17), "who is mentioned has an address (%s)", mentioned);
	const char *address = strchr(mentioned, ' ');
	snprintf(up, sizeof up, "HOST-b.lonet%s", address);
	snprintf(renamed, sizeof renamed, "Host-B.lonet%s", address);

	struct host b = host("HOST-b");
	is_str(ask(b, "listen l 0.0.0.0 80"), "ok", "it comes up, spelled otherwise");
	is_str(twice(), up, "and is called what its owner calls it");
	leave(b);
	is_str(twice(), up, "it goes down and keeps its name and address");
	b = host("Host-B");
	is_str(ask(b, "listen l 0.0.0.0 80"), "ok", "it comes up again, with a third spelling");
	is_str(twice(), renamed, "and is called so");

	struct host c = host("host-c");
	char other[64];
	snprintf(other, sizeof other, "%s", ask(c, "resolve host-c.lonet"));
	is_str(ask(b, "resolve host-c.lonet"), other, "another host is found at its own address");
	ok(!strstr(renamed, other), "which is not the first one's");
	is_str(twice(), renamed, "as is the first one");
	leave(b);
	leave(c);
	return done();
}
