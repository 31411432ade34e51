/* A bound socket that dials its own address is connected to itself, as in TCP when both ends open at once. */
#include "net.h"

static void talks_to_itself(const char *bind_ip, const char *ip, int flags)
{
	int fd = socket(family_of(ip), SOCK_STREAM | flags, 0), one = 1;
	union sa at_bind = at(bind_ip, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, &at_bind.any, len_of(&at_bind)))
		bail("bind %s", bind_ip);
	int port = port_of(fd);
	union sa self = at(ip, port);
	const char *how = flags ? "non-blocking" : "blocking";
	int result = connect(fd, &self.any, len_of(&self));
	if (result < 0 && errno == EINPROGRESS && flags) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		poll(&p, 1, -1);
		result = connect(fd, &self.any, len_of(&self));
	}
	is_err(result, 0, "%s, %s, %s", bind_ip, ip, how);
	is_str(sockname(fd), name(ip, port), "its own name");
	is_str(peername(fd), name(ip, port), "and its peer's");
	char c = 0;
	is_int(send(fd, "x", 1, 0), 1, "what it sends");
	struct pollfd p = { .fd = fd, .events = POLLIN };
	poll(&p, 1, -1);
	is_int(recv(fd, &c, 1, 0) == 1 ? c : -1, 'x', "it receives");
	close(fd);

	fd = socket(family_of(ip), SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	at_bind = at(bind_ip, port);
	is_err(bind(fd, &at_bind.any, len_of(&at_bind)), 0, "the port is free afterwards");
	at_bind = at(ip, port == 65535 ? 65534 : port + 1);
	is_err(connect(fd, &at_bind.any, len_of(&at_bind)), ECONNREFUSED, "the next port is nobody's");
	close(fd);
}

int main(void)
{
	talks_to_itself("127.0.0.1", "127.0.0.1", 0);
	talks_to_itself("127.0.0.1", "127.0.0.1", SOCK_NONBLOCK);
	talks_to_itself("0.0.0.0", "127.0.0.1", 0);
	talks_to_itself("::1", "::1", 0);
	talks_to_itself("::", "::1", SOCK_NONBLOCK);

	/* Also where another socket listens. */
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	union sa a = at("127.0.0.1", 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(l, &a.any, len_of(&a)))
		bail("bind");
	a = at("127.0.0.1", port_of(l));
	if (bind(fd, &a.any, len_of(&a)) || listen(l, 1))
		bail("listen");
	is_err(connect(fd, &a.any, len_of(&a)), 0, "at a port where another socket listens");
	is_str(peername(fd), sockname(fd), "it is its own peer");
	fcntl(l, F_SETFL, O_NONBLOCK);
	is_err(accept(l, NULL, NULL), EAGAIN, "and nobody calls the listener");
	close(fd);
	close(l);
	return done();
}
