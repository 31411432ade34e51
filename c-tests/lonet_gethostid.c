/* gethostid derives the id from the host's address, as libc does: hosts differ. */
#include "lonet.h"

/* As in glibc, for an address as in sin_addr. */
static long number_of(const char *host)
{
	in_addr_t a = inet_addr(address_of(host));
	return (int)(a << 16 | a >> 16);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return gethostid() != number_of("β.lonet");
	is_int(gethostid(), number_of("α.lonet"), "the number of α's address");
	int status;
	if (waitpid(spawn_host("β", (char *[]){ argv[0], "other", NULL }, -1, -1), &status, 0) < 0)
		bail("waitpid");
	is_int(status, 0, "the number of β's address");
	ok(number_of("β.lonet") != number_of("α.lonet"), "they differ");
	return done();
}
