/* TCP_FASTOPEN_CONNECT where no cookie is needed: connect returns 0 at once, and the first send makes the
 * connection. Both ends then have their addresses. */
#include "net.h"

#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

static int deferring(const char *ip)
{
	int fd = tcp(ip);
	set_opt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	set_opt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
	return fd;
}

static void deferred(const char *ip)
{
	int ls = tcp(ip), port, fd = deferring(ip);
	set_opt(ls, IPPROTO_TCP, TCP_FASTOPEN, 16);
	set_opt(ls, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
	if (bind_to(ls, ip, 0) < 0 || listen(ls, 8) < 0)
		bail("listen");
	port = port_of(ls);
	fcntl(ls, F_SETFL, O_NONBLOCK);

	is_err(connect_to(fd, ip, port), 0, "%s: connect", ip);
	is_err(accept(ls, NULL, NULL), EAGAIN, "%s: nobody has come so far", ip);
	is_int(send(fd, "fast", 4, MSG_NOSIGNAL), 4, "%s: the first bytes", ip);
	wait_for(ls, POLLIN);
	union sa from;
	socklen_t len = sizeof from;
	char got[4] = "";
	int accepted = accept(ls, &from.any, &len);
	fcntl(accepted, F_SETFL, 0);
	is_int(recv(accepted, got, 4, MSG_WAITALL), 4, "%s: arrive", ip);
	is_str(text(&from), sockname(fd), "%s: accept names the dialer", ip);
	is_str(peername(accepted), sockname(fd), "%s: and so does getpeername", ip);
	is_str(peername(fd), name(ip, port), "%s: the dialer knows whom it has dialed", ip);
	ok(passes(fd, accepted), "%s: the connection goes on", ip);
	close(fd);
	close(accepted);

	/* Nobody listens: connect says so, or the send does. */
	close(ls);
	fd = deferring(ip);
	int failed = connect_to(fd, ip, port) < 0 || send(fd, "fast", 4, MSG_NOSIGNAL) < 0;
	ok(failed && errno == ECONNREFUSED, "%s: a closed port refuses", ip);
	close(fd);
}

int main(void)
{
	/* An administrator can turn it off (net.ipv4.tcp_fastopen). */
	int fd = tcp("127.0.0.1");
	if (sendto(fd, "x", 1, MSG_FASTOPEN, NULL, 0) < 0 && errno == EOPNOTSUPP) {
		ok(1, "this machine has fast open turned off # SKIP");
		return done();
	}
	close(fd);
	deferred("127.0.0.1");
	deferred("::1");
	return done();
}
