/* connect with AF_UNSPEC through a duplicate descriptor disconnects the socket: it has no peer, the other
 * end sees a reset, and it can dial again, under its new address. */
#include "fd_passing.h"

static int disconnect(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	return connect(fd, &none, sizeof none);
}

static int one, two;

/* After a disconnect, by whatever it was done. own: what the socket is called, if its program has bound it. */
static void is_fresh(int fd, int accepted, const char *own, const char *by)
{
	char c;
	is_str(peername(fd), "ENOTCONN", "%s: no peer", by);
	/* A port that the program did not choose may still be told. */
	is_str(sockname(fd), own ? own : name("0.0.0.0", port_of(fd)), "%s: its own name", by);
	is_err(recv(accepted, &c, 1, 0), ECONNRESET, "%s: the other end sees a reset", by);
	close(accepted);
	is_err(connect_to(fd, "127.0.0.1", port_of(two)), 0, "%s: it dials elsewhere", by);
	accepted = take(two);
	is_str(peername(fd), sockname(two), "%s: its peer", by);
	is_str(peername(accepted), sockname(fd), "%s: its name, as its peer sees it", by);
	ok(passes(fd, accepted), "%s: bytes pass", by);
	close(accepted);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc > 2)
		return disconnect(atoi(argv[2])) < 0;
	one = listener("127.0.0.1", 0), two = listener("127.0.0.1", 0);
	for (int i = 0; i < COPIES; i++) {
		const char *by = copies[i].shown;
		int fd = dial("127.0.0.1", port_of(one)), accepted = take(one), copy = copies[i].copy(fd);
		is_err(disconnect(copy), 0, "%s: disconnect", by);
		close(copy);
		is_fresh(fd, accepted, NULL, by);
	}
	int fd = dial("127.0.0.1", port_of(one)), accepted = take(one);
	is_int(by_exec(argv[0], "disconnect", fd), 0, "a program that is executed disconnects it");
	is_fresh(fd, accepted, NULL, "exec");

	/* What is bound keeps its port. */
	fd = tcp("127.0.0.1");
	if (bind_to(fd, "127.0.0.1", own_port()) < 0 || connect_to(fd, "127.0.0.1", port_of(one)) < 0)
		bail("bind, connect");
	const char *own = sockname(fd);
	accepted = take(one);
	int copy = dup(fd);
	is_err(disconnect(copy), 0, "a bound one is disconnected by its copy");
	is_fresh(fd, accepted, own, "bound");
	close(copy);
	return done();
}
