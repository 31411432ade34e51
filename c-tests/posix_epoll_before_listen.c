/* A socket added to epoll before bind and listen stays there: connections to accept are reported. */
#include "net.h"
#include <sys/epoll.h>

static unsigned next(int ep, int timeout)
{
	struct epoll_event e = { 0 };
	int n = epoll_wait(ep, &e, 1, timeout);
	if (n < 0)
		bail("epoll_wait");
	return n ? e.events : 0;
}

static void registered(const char *ip, const char *dest, unsigned edge)
{
	int ls = tcp_flags(ip, SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | edge };
	const char *how = edge ? "edge" : "level";

	is_err(epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e), 0, "%s, %s: registered", ip, how);
	is_int(next(ep, 0), EPOLLHUP, "%s, %s: before bind", ip, how);
	is_err(bind_to(ls, ip, 0), 0, "%s, %s: bind", ip, how);
	is_int(next(ep, 0), edge ? 0 : EPOLLHUP, "%s, %s: bind is no event", ip, how);
	is_err(listen(ls, 8), 0, "%s, %s: listen", ip, how);
	is_int(next(ep, 0), 0, "%s, %s: nobody called yet", ip, how);

	int first = dial(dest, port_of(ls));
	is_int(next(ep, -1), EPOLLIN, "%s, %s: a caller", ip, how);
	is_int(next(ep, 0), edge ? 0 : EPOLLIN, "%s, %s: said once, or still", ip, how);
	int second = dial(dest, port_of(ls));
	is_int(next(ep, -1), EPOLLIN, "%s, %s: another caller", ip, how);
	int a = take(ls);
	wait_for(ls, POLLIN);
	int b = take(ls);
	is_err(accept(ls, NULL, NULL), EAGAIN, "%s, %s: all accepted", ip, how);
	is_int(next(ep, 0), 0, "%s, %s: and nothing to say", ip, how);
	ok(passes(first, a) && passes(second, b), "%s, %s: bytes", ip, how);

	int third = dial(dest, port_of(ls));
	is_int(next(ep, -1), EPOLLIN, "%s, %s: a later caller", ip, how);
	close(third);
	close(a);
	close(b);
	close(first);
	close(second);
	close(ls);
	is_int(next(ep, 0), 0, "%s, %s: a closed listener has left epoll", ip, how);
	close(ep);
}

int main(void)
{
	registered("127.0.0.1", "127.0.0.1", 0);
	registered("127.0.0.1", "127.0.0.1", EPOLLET);
	registered("0.0.0.0", "127.0.0.1", EPOLLET);
	registered("::", "::1", EPOLLET);
	registered("::", "127.0.0.1", EPOLLET);
	return done();
}
