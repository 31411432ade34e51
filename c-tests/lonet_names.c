/* A host is found under every spelling of its name: as given, in any case, in IDNA's ASCII form, with the
 * root's dot. A name that does not end in .lonet, or is invalid, is not found. */
#include "hosts.h"

int main(void)
{
	struct host a = host("α"), b = host("Straße-1");
	static const char *const alphas[] = { "α.lonet", "Α.lonet", "α.LONET", "Α.Lonet.", "xn--mxa.lonet",
					      "XN--MXA.LONET", "xn--mxa.lonet." };
	is_str(ask(b, "listen l 0.0.0.0 1"), "ok", "a host with a longer name");
	char ip[64];
	snprintf(ip, sizeof ip, "%s", ask(b, "resolve α.lonet"));
	for (unsigned i = 0; i < sizeof alphas / sizeof *alphas; i++)
		is_str(ask(b, "resolve %s", alphas[i]), ip, "%s is α", alphas[i]);

	static const char *const streets[] = { "straße-1.lonet", "STRASSE-1.LONET", "strasse-1.lonet",
					       "xn--strae-1-3va.lonet", "Stra\u00dfe-1.lonet." };
	snprintf(ip, sizeof ip, "%s", ask(b, "resolve Straße-1.lonet"));
	for (unsigned i = 0; i < sizeof streets / sizeof *streets; i++)
		is_str(ask(a, "resolve %s", streets[i]), ip, "%s is Straße-1", streets[i]);

	/* One letter in two encodings: composed, and a base letter with its accent. */
	is_str(ask(a, "resolve caf\u00e9.lonet"), ask(a, "resolve cafe\u0301.lonet"), "composed and decomposed are one");
	ok(strcmp(ask(a, "resolve cafe.lonet"), ask(a, "resolve caf\u00e9.lonet")) != 0, "an accent makes a difference");

	is_str(ask(a, "resolve .lonet"), "EAI_NONAME", "no name at all");
	is_str(ask(a, "resolve a.b.lonet"), "EAI_NONAME", "a name with a dot");
	is_str(ask(a, "resolve \xce.lonet"), "EAI_NONAME", "a name that is not UTF-8");
	is_str(ask(a, "resolve localhost"), "127.0.0.1", "other names are the machine's business");
	leave(a);
	leave(b);
	return done();
}
