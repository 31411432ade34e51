/* With LONET_NAMES=strict a name that no host has does not exist, for programs that test whether a host is
 * up. */
#include "hosts.h"

int main(void)
{
	static const char *const strict[] = { "LONET_NAMES=strict", "LOCALDOMAIN=lonet", NULL };
	struct host a = host_with("α", strict), lenient = host("γ");
	is_str(ask(a, "resolve β.lonet"), "EAI_NONAME", "nobody is β");
	is_str(ask(a, "dial d β.lonet 80"), "EAI_NONAME", "so it cannot be dialed");
	ok(!strncmp(ask(lenient, "resolve β.lonet"), "127.", 4), "another program gives it an address by asking");
	is_str(ask(a, "resolve β.lonet"), "EAI_NONAME", "still nobody is β");

	struct host b = host("β");
	is_str(ask(b, "listen l 0.0.0.0 80"), "ok", "β comes up");
	is_str(ask(a, "dial d β.lonet 80"), "ok", "and is found");
	is_str(ask(a, "resolve β"), ask(a, "resolve β.lonet"), "by its short name, too");
	is_str(ask(a, "resolve α.lonet"), ask(lenient, "resolve α.lonet"), "the host itself is found");
	ask(a, "close d");
	leave(b);
	is_str(ask(a, "resolve β.lonet"), "EAI_NONAME", "β has gone, and its name with it");
	leave(a);
	leave(lenient);
	return done();
}
