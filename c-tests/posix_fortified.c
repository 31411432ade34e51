/* With _FORTIFY_SOURCE a program calls gethostname, getdomainname, recvfrom, recv, read and poll by other
 * names (__gethostname_chk …), which behave as the plain ones. */
#define _FORTIFY_SOURCE 2
#include "net.h"
#include <dlfcn.h>
#include <sys/utsname.h>

#ifndef __OPTIMIZE__
#error fortified only with optimisation
#endif

/* Larger than the buffer can be told at compile time: the call is checked at run time. */
static volatile size_t room = 64;

int main(void)
{
	struct utsname u;
	char name[65], domain[65], buffer[8];
	if (uname(&u) < 0)
		bail("uname");
	is_err(gethostname(name, room), 0, "gethostname");
	is_str(name, u.nodename, "is uname's");
	is_err(getdomainname(domain, room), 0, "getdomainname");
	is_str(domain, u.domainname, "is uname's");

	int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls)), accepted = take(ls);
	volatile size_t n = sizeof buffer;
	if (send(fd, "12345678abcdefgh", 16, MSG_NOSIGNAL) != 16)
		bail("send");
	is_int(recv(accepted, buffer, n, MSG_WAITALL), 8, "recv");
	is_int(read(accepted, buffer, n - 4), 4, "read");
	ok(!memcmp(buffer, "abcd5678", 8), "read what was sent");
	struct pollfd polls[2] = { { accepted, POLLIN, 0 }, { fd, POLLIN, 0 } };
	volatile nfds_t both = 2;
	is_int(poll(polls, both, 0), 1, "poll");

	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
	union sa from, to = at("127.0.0.1", 0), own;
	socklen_t len = sizeof to, len_from = sizeof from, len_own = sizeof own;
	if (bind(a, &to.any, sizeof to.v4) < 0 || getsockname(a, &to.any, &len) < 0 || connect(b, &to.any, sizeof to.v4) < 0 ||
	    send(b, "dgram", 5, 0) != 5 || getsockname(b, &own.any, &len_own) < 0)
		bail("UDP");
	is_int(recvfrom(a, buffer, n, 0, &from.any, &len_from), 5, "recvfrom");
	is_str(text(&from), text(&own), "from whom it came");

	/* Whether all this was of the kind that is tested. */
	ok(dlsym(RTLD_DEFAULT, "__gethostname_chk") != NULL, "there are checked variants");
	return done();
}
