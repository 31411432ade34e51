/* Half-close: one direction ends, the other goes on. */
#include "net.h"

static void half(const char *ip)
{
	int ls = listener(ip, 0), fd = dial(ip, port_of(ls)), accepted = take(ls);
	char buf[8];

	is_int(send(fd, "last", 4, 0), 4, "%s: some bytes", ip);
	is_err(shutdown(fd, SHUT_WR), 0, "%s: the dialer has said all", ip);
	is_err(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE, "%s: it can send no more", ip);
	is_int(recv(accepted, buf, sizeof buf, MSG_WAITALL), 4, "%s: what was sent before arrives", ip);
	is_int(recv(accepted, buf, 1, 0), 0, "%s: and then the end", ip);
	is_int(wait_for(accepted, POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP,
	       "%s: poll sees the end of one direction", ip);
	is_str(peername(fd), name(ip, port_of(ls)), "%s: the dialer still has its peer", ip);
	is_str(peername(accepted), sockname(fd), "%s: and the peer has it", ip);

	is_int(send(accepted, "answer", 6, MSG_NOSIGNAL), 6, "%s: the other direction goes on", ip);
	is_int(recv(fd, buf, 6, MSG_WAITALL), 6, "%s: and arrives", ip);
	is_err(shutdown(accepted, SHUT_WR), 0, "%s: then ends too", ip);
	is_int(recv(fd, buf, 1, 0), 0, "%s: the dialer reads the end", ip);
	is_err(shutdown(fd, SHUT_WR), ENOTCONN, "%s: nothing is left to shut down", ip);
	close(fd);
	close(accepted);

	fd = dial(ip, port_of(ls));
	accepted = take(ls);
	is_err(shutdown(fd, SHUT_RD), 0, "%s: the dialer reads no more", ip);
	is_int(recv(fd, buf, 1, 0), 0, "%s: and reads the end", ip);
	is_int(send(fd, "x", 1, MSG_NOSIGNAL), 1, "%s: but still sends", ip);
	is_int(recv(accepted, buf, 1, 0), 1, "%s: which arrives", ip);
	close(fd);
	close(accepted);

	fd = tcp(ip);
	is_err(shutdown(fd, SHUT_RDWR), ENOTCONN, "%s: shutdown of a socket that is not connected", ip);
	is_err(shutdown(ls, 77), EINVAL, "%s: shutdown of what does not exist", ip);
	close(fd);
	close(ls);
}

int main(void)
{
	half("127.0.0.1");
	half("::1");
	half("::ffff:127.0.0.1");
	return done();
}
