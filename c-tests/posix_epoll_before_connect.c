/* A socket added to epoll before it dials stays there: the events of its connection arrive. */
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

static void registered(const char *ip, unsigned edge, int bind_first)
{
	int ls = listener(ip, 0), fd = tcp_flags(ip, SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | edge };
	const char *how = edge ? "edge" : "level";

	is_err(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0, "%s, %s: registered", ip, how);
	is_int(next(ep, 0), EPOLLOUT | EPOLLHUP, "%s, %s: before it dials", ip, how);
	if (bind_first)
		is_err(bind_to(fd, ip, 0), 0, "%s, %s: bind", ip, how);
	is_err(connect_to(fd, ip, port_of(ls)), EINPROGRESS, "%s, %s: connect", ip, how);
	is_int(next(ep, -1), EPOLLOUT, "%s, %s: connected", ip, how);
	is_int(next(ep, 0), edge ? 0 : EPOLLOUT, "%s, %s: said once, or still", ip, how);

	int accepted = take(ls);
	is_int(send(accepted, "x", 1, 0), 1, "%s, %s: the peer sends", ip, how);
	is_int(next(ep, -1), EPOLLIN | EPOLLOUT, "%s, %s: readable", ip, how);
	close(accepted);
	wait_for(fd, POLLRDHUP);
	is_int(next(ep, -1), EPOLLIN | EPOLLOUT | EPOLLRDHUP, "%s, %s: the peer closed", ip, how);
	is_err(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), EEXIST, "%s, %s: the registration is the same one", ip, how);
	is_err(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), 0, "%s, %s: and can be taken back", ip, how);
	close(ep);
	close(fd);
	close(ls);
}

int main(void)
{
	for (int bind_first = 0; bind_first < 2; bind_first++) {
		registered("127.0.0.1", 0, bind_first);
		registered("127.0.0.1", EPOLLET, bind_first);
		registered("::1", EPOLLET, bind_first);
		registered("::ffff:127.0.0.1", EPOLLET, bind_first);
	}
	return done();
}
