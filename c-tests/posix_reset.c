/* Resets: SO_LINGER 0, unread data, and a peer that has gone before its connection is accepted. */
#include "net.h"

static void reset(const char *ip)
{
	int ls = listener(ip, 0), port = port_of(ls), fd = dial(ip, port), accepted = take(ls);
	char c;

	reset_on_close(fd);
	close(fd);
	wait_for(accepted, POLLRDHUP);
	is_int(ready(accepted, POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP,
	       "%s: linger 0: poll", ip);
	is_err(recv(accepted, &c, 1, 0), ECONNRESET, "%s: linger 0: recv", ip);
	is_int(recv(accepted, &c, 1, 0), 0, "%s: linger 0: recv again is the end", ip);
	is_err(send(accepted, "x", 1, MSG_NOSIGNAL), EPIPE, "%s: linger 0: send", ip);
	is_str(peername(accepted), "ENOTCONN", "%s: linger 0: no peer", ip);
	is_str(sockname(accepted), name(ip, port), "%s: linger 0: own name", ip);
	close(accepted);

	fd = dial(ip, port);
	accepted = take(ls);
	reset_on_close(fd);
	close(fd);
	wait_for(accepted, POLLRDHUP);
	is_int(get_opt(accepted, SOL_SOCKET, SO_ERROR), ECONNRESET, "%s: SO_ERROR tells it", ip);
	is_int(recv(accepted, &c, 1, 0), 0, "%s: and then recv does not", ip);
	close(accepted);

	fd = dial(ip, port);
	accepted = take(ls);
	if (send(accepted, "x", 1, 0) != 1)
		bail("send");
	wait_for(fd, POLLIN);
	close(fd);
	is_err(recv(accepted, &c, 1, 0), ECONNRESET, "%s: closed with unread data", ip);
	close(accepted);

	/* Gone before it is accepted: accept still names it, though getpeername does not any more. */
	fd = dial(ip, port);
	const char *who = sockname(fd);
	reset_on_close(fd);
	close(fd);
	union sa from;
	socklen_t len = sizeof from;
	accepted = accept(ls, &from.any, &len);
	ok(accepted >= 0, "%s: a connection that was reset is accepted", ip);
	is_str(text(&from), who, "%s: under its caller's name", ip);
	wait_for(accepted, POLLRDHUP);
	is_str(peername(accepted), "ENOTCONN", "%s: and has no peer", ip);
	is_str(sockname(accepted), name(ip, port), "%s: and its own name", ip);
	is_err(recv(accepted, &c, 1, 0), ECONNRESET, "%s: and says what happened", ip);
	close(accepted);

	fd = dial(ip, port);
	who = sockname(fd);
	close(fd);
	len = sizeof from;
	accepted = accept(ls, &from.any, &len);
	is_str(text(&from), who, "%s: a connection that was closed is accepted under its name", ip);
	is_str(peername(accepted), who, "%s: and still has its peer", ip);
	is_int(recv(accepted, &c, 1, 0), 0, "%s: and reads the end", ip);
	close(accepted);
	close(ls);
}

int main(void)
{
	reset("127.0.0.1");
	reset("::1");
	reset("::ffff:127.0.0.1");
	return done();
}
