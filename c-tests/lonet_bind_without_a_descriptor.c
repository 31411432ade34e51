/* bind and listen need a descriptor for their request to lonetd: with none left they fail with EMFILE,
 * change nothing, and work again when there is one. */
#include "lonet.h"
#include <sys/resource.h>

int main(void)
{
	int idle = bound_to_next("0.0.0.0"), fresh = tcp("0.0.0.0"), other = tcp("0.0.0.0"), null = open("/dev/null", O_RDWR);
	struct rlimit limit, former;
	getrlimit(RLIMIT_NOFILE, &former);
	limit = former;
	limit.rlim_cur = 40;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		bail("setrlimit");
	int last = -1;
	for (int fd; (fd = dup(null)) >= 0;)
		last = fd;
	is_err(bind_to(fresh, "0.0.0.0", 80), EMFILE, "bind");
	is_err(bind_to(fresh, "0.0.0.0", 0), EMFILE, "bind to port 0");
	is_err(listen(idle, 8), EMFILE, "listen");
	is_err(listen(other, 8), EMFILE, "listen without bind");
	is_str(sockname(fresh), "0.0.0.0:0", "nothing is bound");
	is_int(get_opt(idle, SOL_SOCKET, SO_ACCEPTCONN), 0, "nobody listens");

	close(last);
	is_err(bind_to(fresh, "0.0.0.0", 80), 0, "one descriptor is enough: bind");
	is_err(listen(fresh, 8), 0, "and listen");
	is_err(listen(idle, 8), 0, "also of what was bound before");
	is_str(sockname(idle), "0.0.0.0:1", "under its name");
	is_err(listen(other, 8), 0, "and without bind");
	is_str(sockname(other), "0.0.0.0:2", "with the next port: none was lost");
	setrlimit(RLIMIT_NOFILE, &former);
	return done();
}
