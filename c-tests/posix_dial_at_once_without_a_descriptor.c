/* A dial right after listen, with no descriptor left but the dialing socket's, reaches the listener. */
#include "net.h"
#include <sys/resource.h>

int main(void)
{
	enum { ROUNDS = 40 };
	int null = open("/dev/null", O_RDWR), failed = 0;
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 64;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		bail("setrlimit");
	for (int round = 0; round < ROUNDS; round++) {
		/* bind may need a descriptor, and listen of a bound socket, too. */
		int fd = tcp("127.0.0.1"), ls = bound("127.0.0.1", 0), port = port_of(ls), first = dup(null), last = first;
		if (listen(ls, 8) < 0)
			bail("listen");
		for (int next = first; next >= 0; next = dup(null))
			last = next;
		failed += connect_to(fd, "127.0.0.1", port) != 0;
		for (int one = first; one <= last; one++)
			close(one);
		close(fd);
		close(ls);
	}
	is_int(failed, 0, "dials that fail");
	return done();
}
