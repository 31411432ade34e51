/* Time limits of dials, and dials without waiting. */
#include "api.h"

static int so_error(int fd)
{
	return get_opt(fd, SOL_SOCKET, SO_ERROR);
}

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	const char *n = lonet_network(net);
	int free_fd = lowest_free(), fill[8], filled = 0;

	int l = listening(a, ":80");
	int d = lonet_dial(b, "α:80", 0);
	ok(d >= 0, "a listener with room is there at once");
	ok(!(fcntl(d, F_GETFL) & O_NONBLOCK), "the descriptor blocks");
	ok(!(fcntl(d, F_GETFD) & FD_CLOEXEC) && !(fcntl(l, F_GETFD) & FD_CLOEXEC), "and is inherited");
	close(d);
	close(l);

	d = lonet_dial_start(b, "α:80");
	ok(d >= 0, "a dial to where nobody listens is under way");
	ok(wait_for(d, POLLOUT) & POLLOUT, "it is over when the descriptor is writable");
	is_int(so_error(d), ECONNREFUSED, "and was refused");
	close(d);
	is_fail(lonet_dial_start(b, "γ:80"), EHOSTUNREACH, "dial %s β:1->γ:80: no such host", n);
	l = listening(a, ":80");
	d = lonet_dial_start(b, "α:80");
	ok(fcntl(d, F_GETFL) & O_NONBLOCK, "the descriptor does not block");
	ok(wait_for(d, POLLOUT) == POLLOUT && so_error(d) == 0, "it is connected");
	is_addr(local(d), "β:1", "its address");
	is_addr(peer(d), "α:1", "its peer");
	int s = lonet_accept(l, SOCK_NONBLOCK | SOCK_CLOEXEC, NULL, NULL);
	ok((fcntl(s, F_GETFL) & O_NONBLOCK) && (fcntl(s, F_GETFD) & FD_CLOEXEC), "accept takes accept4's flags");
	set_opt(d, IPPROTO_TCP, TCP_NODELAY, 1);
	is_int(send(d, "x", 1, 0), 1, "and it carries bytes");
	close(d);
	close(s);

	fcntl(l, F_SETFL, O_NONBLOCK);
	is_int(ready(l, POLLIN), 0, "a listener is not readable while nothing waits");
	is_fail(lonet_accept(l, 0, NULL, NULL), EAGAIN, "accept: no connection waits");
	d = dialed(b, "α:80");
	is_int(wait_for(l, POLLIN), POLLIN, "and is when something does");
	s = accept(l, NULL, NULL);
	ok(s >= 0 && passes(d, s), "which accept(2) takes as well");
	is_addr(local(s), "α:1", "with its lonet address");
	is_addr(peer(s), "β:1", "and its peer");
	close(s);
	close(d);
	close(l);

	l = lonet_listen(a, ":81", 0);
	while (filled < 8 && (fill[filled] = lonet_dial(b, "α:81", 200)) >= 0)
		filled++;
	is_err(filled < 8 ? -1 : 0, ETIMEDOUT, "a full queue: the time limit passes");
	char want[200];
	snprintf(want, sizeof want, "dial %s β:%d->α:81: connection timed out", n, filled + 1);
	is_str(lonet_errmsg(), want, "the message");
	while (filled)
		close(fill[--filled]);
	close(l);
	is_err(lonet_dial(b, "α:81", -2), EINVAL, "a time limit below -1");
	is_int(lowest_free(), free_fd, "no descriptor is left open");
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
