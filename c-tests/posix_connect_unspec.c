/* connect with AF_UNSPEC disconnects; the socket may then dial the same listener, or another. On a listener
 * it ends listening. */
#include "net.h"

static int disconnect(int fd)
{
	union sa none;
	memset(&none, 0, sizeof none);
	none.any.sa_family = AF_UNSPEC;
	return connect(fd, &none.any, sizeof none.any);
}

static void again(const char *ip, const char *any, int port)
{
	int one = listener(ip, 0), two = listener(ip, 0), fd = tcp(ip), accepted;
	const char *from = port ? "from a port of its own" : "from any port";
	char c;

	if (port)
		is_err(bind_to(fd, ip, port), 0, "%s: bind", ip);
	is_err(disconnect(fd), 0, "%s %s: before any dial it does nothing", ip, from);
	for (int i = 0; i < 4; i++) {
		int to = i < 2 ? one : two;
		is_err(connect_to(fd, ip, port_of(to)), 0, "%s %s: dial %d", ip, from, i);
		accepted = take(to);
		is_str(peername(fd), sockname(to), "%s %s: dial %d: peer", ip, from, i);
		is_str(peername(accepted), sockname(fd), "%s %s: dial %d: is seen under its name", ip, from, i);
		if (port)
			is_int(port_of(fd), port, "%s %s: dial %d: its port", ip, from, i);
		ok(passes(fd, accepted), "%s %s: dial %d: bytes", ip, from, i);

		is_err(disconnect(fd), 0, "%s %s: disconnect %d", ip, from, i);
		is_str(peername(fd), "ENOTCONN", "%s %s: disconnect %d: no peer", ip, from, i);
		/* A port that the program did not choose may still be told, though it is held no more. */
		is_str(sockname(fd), port ? name(ip, port) : name(any, port_of(fd)), "%s %s: disconnect %d: own name", ip,
		       from, i);
		is_err(recv(accepted, &c, 1, 0), ECONNRESET, "%s %s: disconnect %d: resets", ip, from, i);
		close(accepted);
	}
	int closed = bound(ip, 0);
	is_err(connect_to(fd, ip, port_of(closed)), ECONNREFUSED, "%s %s: then a closed port", ip, from);
	is_err(disconnect(fd), 0, "%s %s: disconnect after a refusal", ip, from);
	is_err(connect_to(fd, ip, port_of(one)), 0, "%s %s: then a listener", ip, from);
	accepted = take(one);
	ok(passes(fd, accepted), "%s %s: bytes", ip, from);
	reset_on_close(fd);
	close(fd);
	close(accepted);
	close(closed);

	/* A disconnected socket may listen. */
	fd = tcp(ip);
	if (bind_to(fd, ip, own_port()) < 0 || connect_to(fd, ip, port_of(one)) < 0)
		bail("bind, connect");
	port = port_of(fd);
	accepted = take(one);
	is_err(disconnect(fd), 0, "%s: a dialer turns", ip);
	is_err(listen(fd, 8), 0, "%s: into a listener", ip);
	is_str(sockname(fd), name(ip, port), "%s: under the name that it bound", ip);
	is_int(dial_error(ip, port), 0, "%s: and is reached", ip);
	is_err(disconnect(fd), 0, "%s: a listener is disconnected", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_ACCEPTCONN), 0, "%s: and listens no more", ip);
	is_int(dial_error(ip, port), ECONNREFUSED, "%s: and refuses", ip);
	is_err(listen(fd, 8), 0, "%s: and listens again", ip);
	is_int(dial_error(ip, port), 0, "%s: on the same port", ip);
	close(fd);
	close(accepted);
	close(one);
	close(two);
}

int main(void)
{
	again("127.0.0.1", "0.0.0.0", 0);
	again("127.0.0.1", "0.0.0.0", own_port());
	again("::1", "::", 0);
	again("::1", "::", own_port());
	return done();
}
