/* listen binds an unbound socket to the wildcard address and a port that getsockname returns. */
#include "net.h"

static void unbound(const char *any, const char *dest)
{
	int ls = tcp(any);
	is_str(sockname(ls), name(any, 0), "%s: no name before", any);
	is_err(listen(ls, 8), 0, "%s: listen", any);
	int port = port_of(ls);
	ok(port > 0, "%s: has a port", any);
	is_str(sockname(ls), name(any, port), "%s: on the wildcard address", any);
	is_err(bind_to(ls, any, 0), EINVAL, "%s: and cannot bind any more", any);

	int fd = dial(dest, port), accepted = take(ls);
	is_str(sockname(accepted), name(dest, port), "%s: is reached there", any);
	is_str(peername(accepted), sockname(fd), "%s: by who called", any);
	ok(passes(fd, accepted), "%s: bytes", any);

	int other = tcp(any);
	is_err(listen(other, 8), 0, "%s: another one", any);
	ok(port_of(other) > 0 && port_of(other) != port, "%s: has another port", any);
	close(other);
	reset_on_close(fd);
	close(fd);
	close(accepted);
	close(ls);

	is_err(listen(bound(dest, 0), -1), 0, "%s: a negative backlog is taken", any);
}

int main(void)
{
	unbound("0.0.0.0", "127.0.0.1");
	unbound("::", "::1");
	return done();
}
