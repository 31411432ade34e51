/* res_querydomain and its other names answer as res_query does for the whole name, given in two parts or
 * in one. */
#include "resolve.h"
#include <resolv.h>

/* As programs know them that were linked before glibc 2.34. */
int old_querydomain(const char *, const char *, int, int, unsigned char *, int);
int old_nquerydomain(res_state, const char *, const char *, int, int, unsigned char *, int);
__asm__(".symver old_querydomain, __res_querydomain@GLIBC_2.2.5");
__asm__(".symver old_nquerydomain, __res_nquerydomain@GLIBC_2.2.5");

static unsigned char answer[1024], whole[1024];
static int n;

/* Whether it is the answer to the whole name, but for its id. */
static int same(int got)
{
	return n > 0 && got == n && !memcmp(answer + 2, whole + 2, (size_t)n - 2);
}

#define two(name, domain) name, domain, ns_c_in, ns_t_a, answer, sizeof answer

int main(void)
{
	struct __res_state state = { 0 };
	if (res_ninit(&state))
		bail("res_ninit");
	n = res_query("xn--nxa.lonet", ns_c_in, ns_t_a, whole, sizeof whole);

	ok(same(res_querydomain(two("xn--nxa", "lonet"))), "res_querydomain");
	ok(same(old_querydomain(two("xn--nxa", "lonet"))), "__res_querydomain");
	ok(same(res_nquerydomain(&state, two("xn--nxa", "lonet"))), "res_nquerydomain");
	ok(same(old_nquerydomain(&state, two("xn--nxa", "lonet"))), "__res_nquerydomain");
	ok(same(res_querydomain(two("xn--nxa.lonet", NULL))), "in one part");
	ok(res_querydomain(two("β", "LONET.")) > 0, "in another spelling");

	is_int(res_querydomain(two("a.b", "lonet")), -1, "what cannot be a host");
	is_int(h_errno, HOST_NOT_FOUND, "and why");
	is_int(res_nquerydomain(&state, two("a.b", "lonet")), -1, "with a state");
	is_int(state.res_h_errno, HOST_NOT_FOUND, "which tells why");
	is_int(res_querydomain("xn--nxa", "lonet", ns_c_in, ns_t_mx, answer, sizeof answer), -1, "another record");
	is_int(h_errno, NO_DATA, "and why");

	static char longest[MAXDNAME];
	memset(longest, 'x', sizeof longest - 1);
	is_int(res_querydomain(two(longest, "lonet")), -1, "a name that is too long");
	is_int(h_errno, NO_RECOVERY, "and why");
	res_nclose(&state);
	return done();
}
