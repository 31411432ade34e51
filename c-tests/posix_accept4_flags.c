/* accept4 gives the accepted socket the requested flags, and no others. */
#include "net.h"

static const struct { int flags, nonblock, cloexec; } cases[] = {
	{ 0, 0, 0 },
	{ SOCK_NONBLOCK, O_NONBLOCK, 0 },
	{ SOCK_CLOEXEC, 0, FD_CLOEXEC },
	{ SOCK_NONBLOCK | SOCK_CLOEXEC, O_NONBLOCK, FD_CLOEXEC },
};

int main(void)
{
	int ls = listener("127.0.0.1", 0), port = port_of(ls);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		union sa from;
		socklen_t len = sizeof from;
		int fd = dial("127.0.0.1", port);
		int accepted = accept4(ls, &from.any, &len, cases[i].flags);
		ok(accepted >= 0, "flags %#x: accepted", cases[i].flags);
		is_int(fcntl(accepted, F_GETFL) & O_NONBLOCK, cases[i].nonblock, "flags %#x: O_NONBLOCK", cases[i].flags);
		is_int(fcntl(accepted, F_GETFD), cases[i].cloexec, "flags %#x: FD_CLOEXEC", cases[i].flags);
		is_str(text(&from), sockname(fd), "flags %#x: the caller's name", cases[i].flags);
		is_int(len, sizeof from.v4, "flags %#x: its length", cases[i].flags);
		close(fd);
		close(accepted);
	}

	int fd = dial("127.0.0.1", port);
	is_err(accept4(ls, NULL, NULL, 1), EINVAL, "unknown flags");
	is_int(wait_for(ls, POLLIN), POLLIN, "take no connection");
	is_err(accept4(-1, NULL, NULL, 1), EBADF, "descriptor -1 comes before unknown flags");
	close(take(ls));
	close(fd);

	/* The same flags of socket(2). */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	is_int(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK, "socket: SOCK_NONBLOCK");
	is_int(fcntl(fd, F_GETFD), FD_CLOEXEC, "socket: SOCK_CLOEXEC");
	is_int(get_opt(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM, "socket: flags are no part of the type");
	if (bind_to(fd, "127.0.0.1", 0) < 0 || listen(fd, 1) < 0)
		bail("bind, listen");
	is_int(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK, "listening changes no flag");
	is_int(fcntl(fd, F_GETFD), FD_CLOEXEC, "listening changes no descriptor flag");

	int dialer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	is_err(connect_to(dialer, "127.0.0.1", port_of(fd)), 0, "a dial");
	is_int(fcntl(dialer, F_GETFL) & O_NONBLOCK, 0, "dialing changes no flag");
	is_int(fcntl(dialer, F_GETFD), FD_CLOEXEC, "dialing changes no descriptor flag");
	return done();
}
