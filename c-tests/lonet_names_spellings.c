/* All spellings of a host's name resolve to its one address; invalid names are refused; other names are
 * libc's. */
#include "resolve.h"

static void one_host(const char *want, const char *const *spellings)
{
	for (; *spellings; spellings++)
		is_str(address_of(*spellings, AF_INET), want, "%s", *spellings);
}

int main(void)
{
	char want[64];
	snprintf(want, sizeof want, "%s", address_of("α.lonet", AF_INET));
	ok(!strncmp(want, "127.", 4), "α.lonet has a loopback address (%s)", want);
	one_host(want, (const char *const[]){ "α.lonet", "α.lonet.", "Α.LONET", "xn--mxa.lonet", "XN--MXA.Lonet.", NULL });

	snprintf(want, sizeof want, "%s", address_of("straße.lonet", AF_INET));
	one_host(want, (const char *const[]){ "straße.lonet", "strasse.lonet", "STRASSE.lonet", "xn--strae-oqa.lonet", NULL });
	ok(strcmp(want, address_of("strase.lonet", AF_INET)), "another name is another host");
	snprintf(want, sizeof want, "%s", address_of("bücher.lonet", AF_INET));
	/* Composed, decomposed, IDNA. */
	one_host(want, (const char *const[]){ "bücher.lonet", "bu\xcc\x88" "cher.lonet", "xn--bcher-kva.lonet", NULL });

	char none[32];
	snprintf(none, sizeof none, "error %d", EAI_NONAME);
	static const char *const bad[] = { ".lonet", "..lonet", "a.b.lonet", "xn--a-ecp.b.lonet", "b c.lonet", "\xff\xfe.lonet",
					   "a..lonet", NULL };
	for (const char *const *b = bad; *b; b++)
		is_str(address_of(*b, AF_INET), none, "%s is no host's name", *b);
	char longest[300];
	memset(longest, 'h', sizeof longest);
	strcpy(longest + 63, ".lonet");
	ok(strcmp(address_of(longest, AF_INET), none), "a name of 63 bytes is one");
	longest[63] = 'h';
	strcpy(longest + 64, ".lonet");
	is_str(address_of(longest, AF_INET), none, "one of 64 bytes is not");
	longest[64] = 'h';
	strcpy(longest + 290, ".lonet");
	is_str(address_of(longest, AF_INET), none, "nor one of 290 bytes");

	is_str(address_of("127.0.0.1", AF_INET), "127.0.0.1", "numbers are libc's");
	is_str(address_of("localhost", AF_INET), "127.0.0.1", "localhost, too");
	return done();
}
