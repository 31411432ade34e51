/* A host can set neither the machine's name nor its id, whatever its privileges; errors in the arguments
 * come first. */
#include "tap.h"
#include <sys/mman.h>

static void check(int set(const char *, size_t), const char *what)
{
	static char name[65] = "name";
	long size = sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED || mprotect(pages + size, size, PROT_NONE))
		bail("mmap");
	is_err(set(name, 4), EPERM, "%s", what);
	is_err(set(name, 64), EPERM, "%s of the longest name", what);
	is_err(set(name, 65), EINVAL, "%s of a name that is too long", what);
	is_err(set(name, (size_t)-1), EINVAL, "%s with a length that cannot be", what);
	is_err(set(NULL, 65), EINVAL, "%s looks at the length first", what);
	is_err(set(NULL, 4), EFAULT, "%s without a name", what);
	is_err(set(NULL, 0), EPERM, "%s of nothing", what);
	is_err(set(pages + size, 4), EFAULT, "%s of what cannot be read", what);
	is_err(set(pages + size - 4, 5), EFAULT, "%s of what can be read in part", what);
	is_err(set(pages + size - 4, 4), EPERM, "%s of what ends with its page", what);
	munmap(pages, 2 * size);
}

int main(void)
{
	check(sethostname, "sethostname");
	check(setdomainname, "setdomainname");
	is_err(sethostid(1), EPERM, "sethostid");
	return done();
}
