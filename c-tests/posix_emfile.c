/* No descriptor left: accept, socket and dup fail with EMFILE; calls that need no descriptor work; the
 * peer's connection goes on waiting. bind and connect are left out: an implementation may need a
 * descriptor for them. */
#include "net.h"
#include <sys/resource.h>

/* Allows no descriptor above those that are open; gives back the former limit. */
static struct rlimit fill(void)
{
	struct rlimit former, low;
	int lowest = open("/dev/null", O_RDONLY);
	close(lowest);
	getrlimit(RLIMIT_NOFILE, &former);
	low = former;
	low.rlim_cur = (rlim_t)lowest;
	if (setrlimit(RLIMIT_NOFILE, &low) < 0)
		bail("setrlimit");
	return former;
}

int main(void)
{
	int ls = listener("127.0.0.1", 0), port = port_of(ls), fd = dial("127.0.0.1", port), accepted = take(ls);
	int waiting = dial("127.0.0.1", port), unbound = tcp("127.0.0.1");
	union sa from;
	socklen_t len = sizeof from;
	const char *own = sockname(fd), *peer = peername(fd);
	wait_for(ls, POLLIN);
	struct rlimit former = fill();

	is_err(accept(ls, &from.any, &len), EMFILE, "accept");
	is_int(len, sizeof from, "accept leaves the length alone");
	is_err(accept4(ls, NULL, NULL, SOCK_NONBLOCK), EMFILE, "accept4");
	is_int(wait_for(ls, POLLIN), POLLIN, "the caller still waits");
	is_err(socket(AF_INET, SOCK_STREAM, 0), EMFILE, "socket");
	is_err(dup(ls), EMFILE, "dup");

	/* Which name is told depends on who can be asked without a descriptor. */
	ok(strchr(sockname(ls), ':') != NULL, "getsockname of a listener works");
	ok(strchr(sockname(fd), ':') != NULL, "getsockname works");
	ok(strchr(peername(fd), ':') != NULL, "getpeername works");
	ok(strchr(peername(accepted), ':') != NULL, "getpeername of an accepted socket works");
	is_str(sockname(unbound), "0.0.0.0:0", "getsockname of an unbound socket works");
	is_str(peername(unbound), "ENOTCONN", "getpeername of an unbound socket works");
	is_int(get_opt(ls, SOL_SOCKET, SO_ACCEPTCONN), 1, "getsockopt works");
	is_err(listen(ls, 16), 0, "listen of a listener works");
	ok(passes(fd, accepted), "bytes pass");
	is_err(shutdown(fd, SHUT_WR), 0, "shutdown works");
	is_int(dup2(fd, unbound), unbound, "dup2 over an open number works");

	is_err(close(unbound), 0, "close works");
	int taken = accept(ls, &from.any, &len);
	is_int(taken, unbound, "and lets one in, under the number that was freed");
	ok(passes(waiting, taken), "and it is served");

	setrlimit(RLIMIT_NOFILE, &former);
	is_str(sockname(fd), own, "with room again it has its name");
	is_str(peername(fd), peer, "and its peer");
	int another = dial("127.0.0.1", port);
	int served = accept(ls, NULL, NULL);
	is_str(peername(served), sockname(another), "with room again all is as before");
	return done();
}
