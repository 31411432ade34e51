/* Level-triggered epoll reports a refused dial until the error is read. */
#include "net.h"
#include <sys/epoll.h>

/* What epoll has to say of its one socket; 0 for nothing. */
static unsigned say_after(int ep, int timeout)
{
	struct epoll_event e = { 0 };
	int n = epoll_wait(ep, &e, 1, timeout);
	if (n < 0)
		bail("epoll_wait");
	return n ? e.events : 0;
}

static unsigned say_now(int ep)
{
	return say_after(ep, 0);
}

static void refused(const char *ip, int when)
{
	int holder = bound(ip, 0), fd = tcp_flags(ip, SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };

	if (when == 0) {
		is_err(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0, "%s: registered before connect", ip);
		is_int(say_now(ep), EPOLLOUT | EPOLLHUP, "%s: what is said of a socket that has not dialed", ip);
	}
	is_err(connect_to(fd, ip, port_of(holder)), EINPROGRESS, "%s: connect", ip);
	if (when == 1)
		is_err(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0, "%s: registered after connect", ip);

	unsigned said = say_after(ep, -1);
	is_int(said, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP, "%s: refused", ip);
	is_int(say_now(ep), said, "%s: said again", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED, "%s: SO_ERROR", ip);
	is_int(say_now(ep), EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP, "%s: the error is gone, the end is not", ip);
	close(ep);
	close(fd);
	close(holder);
}

int main(void)
{
	for (int when = 0; when < 2; when++) {
		refused("127.0.0.1", when);
		refused("::1", when);
		refused("::ffff:127.0.0.1", when);
	}
	return done();
}
