/* A host cannot rename the machine, whoever runs it. The length is one that the kernel refuses with EINVAL. */
#include "tap.h"

int main(void)
{
	static char name[1000];
	is_err(sethostname(name, sizeof name), EPERM, "sethostname");
	is_err(setdomainname(name, sizeof name), EPERM, "setdomainname");
	return done();
}
