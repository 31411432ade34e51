/* The reentrant lookups: ERANGE until the buffer is large enough, all pointers into it, 0 and no result
 * for a name that does not exist. */
#include "resolve.h"

typedef int look(struct hostent *, char *, size_t, struct hostent **, int *);

static const char *name_;
static struct in_addr address_;

static int by_name(struct hostent *h, char *b, size_t n, struct hostent **r, int *e)
{
	return gethostbyname_r(name_, h, b, n, r, e);
}

static int by_name2(struct hostent *h, char *b, size_t n, struct hostent **r, int *e)
{
	return gethostbyname2_r(name_, AF_INET, h, b, n, r, e);
}

static int by_address(struct hostent *h, char *b, size_t n, struct hostent **r, int *e)
{
	return gethostbyaddr_r(&address_, sizeof address_, AF_INET, h, b, n, r, e);
}

static int inside(const void *p, const char *buf, size_t n)
{
	return (const char *)p >= buf && (const char *)p < buf + n;
}

static void grows(const char *what, look *call)
{
	enum { MOST = 4096 };
	char *buf = NULL;
	struct hostent entry, *result = &entry;
	int why = 4711, code = ERANGE, clean = 1, odd = 1;
	size_t n;
	for (n = 1; n < MOST && code == ERANGE; n++) {
		free(buf);
		buf = malloc(n + 1);
		buf[n] = '#'; /* not ours to write */
		result = &entry;
		errno = 0;
		/* Unaligned, as nobody promises otherwise. */
		code = call(&entry, buf, n, &result, &why);
		odd = odd && buf[n] == '#';
		if (code == ERANGE)
			clean = clean && errno == ERANGE && !result && why == NETDB_INTERNAL;
	}
	n--;
	is_int(code, 0, "%s succeeds in the end (%zu bytes)", what, n);
	ok(clean, "%s: a small buffer is ERANGE, no result, NETDB_INTERNAL", what);
	ok(odd, "%s keeps to the buffer", what);
	if (result != &entry)
		bail("%s: no result", what);
	ok(inside(entry.h_name, buf, n), "%s: the name is in the buffer", what);
	ok(inside(entry.h_aliases, buf, n), "%s: the aliases, too", what);
	ok(inside(entry.h_addr_list, buf, n) && inside(entry.h_addr_list[0], buf, n), "%s: the address, too", what);
	ok((size_t)entry.h_aliases % sizeof(char *) == 0, "%s: pointers are aligned", what);
	is_int(entry.h_addrtype, AF_INET, "%s: the family", what);
	is_int(entry.h_length, 4, "%s: the length", what);
	ok(!entry.h_addr_list[1], "%s: one address", what);
	ok(!memcmp(entry.h_addr_list[0], &address_, 4), "%s: the right one", what);
	free(buf);
}

int main(void)
{
	struct hostent entry, *result = &entry;
	char buf[2048];
	int why = 4711;
	name_ = sure_name();
	if (inet_pton(AF_INET, address_of(name_, AF_INET), &address_) != 1)
		bail("no address of %s", name_);
	grows("gethostbyname_r", by_name);
	grows("gethostbyname2_r", by_name2);
	grows("gethostbyaddr_r", by_address);

	for (int odd = 0; odd < 8; odd++) {
		char *at = buf + odd;
		int code = gethostbyname_r(name_, &entry, at, sizeof buf - 8, &result, &why);
		if (code || !result || (size_t)entry.h_addr_list % sizeof(char *) || (size_t)entry.h_aliases % sizeof(char *))
			ok(0, "a buffer at offset %d", odd);
	}
	const char *nobody = !strcmp(name_, "localhost") ? "nobody.invalid" : "no.body.lonet";
	int code = gethostbyname_r(nobody, &entry, buf, sizeof buf, &result, &why);
	ok(!result, "what is not there is no result");
	ok(why == HOST_NOT_FOUND ? code == 0 : why == TRY_AGAIN, "and code 0 if that is certain");

	return done();
}
