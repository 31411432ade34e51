/* listen on a socket that has dialed from a port it had bound fails with EINVAL, and the socket stays
 * connected from there. */
#include "net.h"

static int from(const char *ip, int port)
{
	int fd = tcp(ip);
	if (bind_to(fd, ip, port) < 0)
		bail("bind %s", ip);
	return fd;
}

static void is_still(int fd, const char *ip, int port, int to, const char *what)
{
	is_err(listen(fd, 8), EINVAL, "%s, %s: listen", ip, what);
	is_str(sockname(fd), name(ip, port), "%s, %s: its own name is as before", ip, what);
	is_str(peername(fd), name(ip, to), "%s, %s: its peer is as before", ip, what);
	is_err(bind_to(tcp(ip), ip, port), EADDRINUSE, "%s, %s: its port is its own", ip, what);
}

static void listens(const char *ip)
{
	int ls = listener(ip, 0), port = own_port(), fd = from(ip, port);
	if (connect_to(fd, ip, port_of(ls)) < 0)
		bail("connect");
	int accepted = take(ls);
	is_still(fd, ip, port, port_of(ls), "connected");
	ok(passes(fd, accepted), "%s: bytes pass", ip);
	is_err(listen(accepted, 8), EINVAL, "%s: an accepted socket", ip);
	is_str(peername(accepted), name(ip, port), "%s: its peer is as before", ip);
	reset_on_close(accepted);
	close(accepted);
	close(fd);

	port = own_port();
	fd = from(ip, port);
	is_err(connect_to(fd, ip, port), 0, "%s: a dial of itself", ip);
	is_still(fd, ip, port, port, "connected to itself");
	close(fd);
	close(ls);
}

/* Nobody has answered so far. */
static void listens_too_early(const char *ip)
{
	int ls = tcp(ip), port = own_port(), filler = tcp_flags(ip, SOCK_NONBLOCK);
	if (bind_to(ls, ip, 0) < 0 || listen(ls, 0) < 0)
		bail("listen");
	connect_to(filler, ip, port_of(ls));
	wait_for(filler, POLLOUT);
	int fd = tcp_flags(ip, SOCK_NONBLOCK);
	if (bind_to(fd, ip, port) < 0)
		bail("bind %s", ip);
	is_err(connect_to(fd, ip, port_of(ls)), EINPROGRESS, "%s: a dial that waits", ip);
	is_err(listen(fd, 8), EINVAL, "%s: listen meanwhile", ip);
	close(take(ls));
	int accepted = take(ls);
	wait_for(fd, POLLOUT);
	is_str(peername(accepted), name(ip, port), "%s: it arrives from its port", ip);
	is_still(fd, ip, port, port_of(ls), "arrived");
	close(accepted);
	close(fd);
	close(filler);
	close(ls);
}

int main(void)
{
	const char *ips[] = { "127.0.0.1", "::1", "::ffff:127.0.0.1" };
	for (int i = 0; i < 3; i++) {
		listens(ips[i]);
		listens_too_early(ips[i]);
	}
	return done();
}
