/* gethostname, getdomainname and uname agree, also in their checked variants; short buffers are filled and
 * refused as by glibc. */
#include "net.h"
#include <sys/utsname.h>

extern int __gethostname_chk(char *, size_t, size_t);
extern int __getdomainname_chk(char *, size_t, size_t);

int main(void)
{
	struct utsname u;
	char name[256], domain[256], buf[256];
	errno = 4711;
	is_int(uname(&u), 0, "uname");
	is_int(gethostname(name, sizeof name), 0, "gethostname");
	is_int(getdomainname(domain, sizeof domain), 0, "getdomainname");
	is_int(errno, 4711, "errno stays as it was");
	is_str(name, u.nodename, "the name is uname's");
	is_str(domain, u.domainname, "the domain is uname's");
	is_str(u.sysname, "Linux", "the rest is the kernel's");
	is_int(__gethostname_chk(buf, sizeof buf, sizeof buf), 0, "__gethostname_chk");
	is_str(buf, name, "says the same");
	is_int(__getdomainname_chk(buf, sizeof buf, sizeof buf), 0, "__getdomainname_chk");
	is_str(buf, domain, "says the same");

	size_t n = strlen(name);
	memset(buf, '#', sizeof buf);
	is_int(gethostname(buf, n + 1), 0, "just enough room");
	ok(!strcmp(buf, name) && buf[n + 1] == '#', "is filled and no more");
	memset(buf, '#', sizeof buf);
	is_err(gethostname(buf, n), ENAMETOOLONG, "no room for the zero");
	ok(!memcmp(buf, name, n) && buf[n] == '#', "what fits is there");
	memset(buf, '#', sizeof buf);
	is_err(gethostname(buf, 1), ENAMETOOLONG, "room for one byte");
	ok(buf[0] == name[0] && buf[1] == '#', "which is there");
	is_err(gethostname(buf, 0), ENAMETOOLONG, "no room");
	memset(buf, '#', sizeof buf);
	is_int(getdomainname(buf, 2), 0, "a domain that does not fit is cut");
	ok(!memcmp(buf, domain, 2) && buf[2] == '#', "and no error");
	void *volatile bad = (void *)8;
	is_err(uname(bad), EFAULT, "uname into nowhere");
	return done();
}
