/* A failed dial holds no port, whether it was refused at once or later, rolled back, or ended from
 * outside. */
#include "lonet.h"

/* A listener of port `port` of α whose backlog is full: the next dial waits. */
static int full_listener(int *filler)
{
	int fd = bound_to_next("0.0.0.0");
	listen(fd, 0);
	*filler = dial("127.0.0.1", port_of(fd));
	return fd;
}

static int disconnect(int fd)
{
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	return connect(fd, &nobody, sizeof nobody);
}

int main(void)
{
	int server = listener("0.0.0.0", 0); /* 1 */
	const char *own = own_address();

	int fd = tcp("127.0.0.1");
	is_err(connect_to(fd, "127.0.0.1", 77), ECONNREFUSED, "a dial of a port that nobody has");
	is_int(next_port(), 2, "a refused blocking dial holds no port");
	is_err(connect_to(fd, own, 77), ECONNREFUSED, "again, of the host's own address");
	is_int(next_port(), 2, "nor a second one of the same socket");
	close(fd);

	fd = tcp_flags("127.0.0.1", SOCK_NONBLOCK);
	int failed = connect_to(fd, "127.0.0.1", 77) < 0 ? errno : 0;
	ok(failed == EINPROGRESS || failed == ECONNREFUSED, "a non-blocking dial of the same");
	if (failed == EINPROGRESS) {
		wait_for(fd, POLLOUT);
		is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED, "is refused");
	}
	is_int(next_port(), 2, "a refused non-blocking dial holds no port");
	close(fd);

	/* The backlog is full, and then the listener goes: the kernel refuses when it tries again. */
	int filler, full = full_listener(&filler); /* 2, and the filler 3 */
	fd = tcp_flags("127.0.0.1", SOCK_NONBLOCK);
	is_err(connect_to(fd, "127.0.0.1", port_of(full)), EINPROGRESS, "a dial of a full backlog waits");
	is_int(next_port(), 5, "and holds a port meanwhile");
	close(full);
	wait_for(fd, POLLOUT);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED, "it is refused when the listener has gone");
	close(filler);
	int again[2];
	hold(again, 2);
	is_int(next_port(), 4, "a dial that was refused later holds no port");
	close_all(again, 2);
	close(fd);

	/* Closed while it waits. */
	full = full_listener(&filler);
	fd = tcp_flags("127.0.0.1", SOCK_NONBLOCK);
	connect_to(fd, "127.0.0.1", port_of(full));
	close(fd);
	is_int(next_port(), 4, "a dial that was closed while it waited holds no port");

	/* Taken back while it waits. */
	fd = tcp_flags("127.0.0.1", SOCK_NONBLOCK);
	connect_to(fd, "127.0.0.1", port_of(full));
	is_err(disconnect(fd), 0, "connect(AF_UNSPEC) of a dial that waits");
	is_int(next_port(), 4, "frees its port");
	close(fd);

	/* Ended by its time limit. */
	fd = tcp("127.0.0.1");
	struct timeval limit = { 0, 50000 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	is_err(connect_to(fd, "127.0.0.1", port_of(full)), EINPROGRESS, "a dial with SO_SNDTIMEO gives up waiting");
	is_int(next_port(), 5, "and is still under way: it holds its port");
	close(fd);
	is_int(next_port(), 4, "until it is closed");

	/* Shut down while it waits. */
	fd = tcp_flags("127.0.0.1", SOCK_NONBLOCK);
	connect_to(fd, "127.0.0.1", port_of(full));
	shutdown(fd, SHUT_RDWR);
	is_int(next_port(), 4, "a dial that was shut down holds no port");
	close(fd);
	close(filler);
	close(full);

	/* Established, and taken back. */
	fd = dial("127.0.0.1", port_of(server));
	int accepted = take(server);
	is_int(next_port(), 3, "a connection holds a port");
	is_err(disconnect(fd), 0, "connect(AF_UNSPEC)");
	is_int(next_port(), 2, "takes it back");
	is_err(connect_to(fd, "127.0.0.1", port_of(server)), 0, "the socket dials again");
	is_str(sockname(fd), "127.0.0.1:2", "from the first free port");
	int second = take(server);
	is_str(peername(second), "127.0.0.1:2", "which its peer sees");
	int copy = dup(fd);
	is_err(disconnect(copy), 0, "connect(AF_UNSPEC) through a copy");
	is_int(next_port(), 2, "takes it back as well");
	close(copy);
	close(fd);
	close(second);
	close(accepted);

	/* A bound socket keeps its port. */
	fd = bound_to_next("127.0.0.1");
	if (connect_to(fd, "127.0.0.1", port_of(server)))
		bail("connect");
	close(take(server));
	disconnect(fd);
	is_int(next_port(), 3, "a socket that was bound keeps its port after connect(AF_UNSPEC)");
	is_str(sockname(fd), "127.0.0.1:2", "and its name");
	is_err(connect_to(fd, "127.0.0.1", 77), ECONNREFUSED, "and after a refused dial");
	is_int(next_port(), 3, "still");
	close(fd);
	is_int(next_port(), 2, "until it is closed");
	is_err(dial_error(own, 78) == ECONNREFUSED ? 0 : -1, 0, "refused");
	is_int(next_port(), 2, "at the end all is as at the beginning");
	return done();
}
