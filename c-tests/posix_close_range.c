/* close_range and closefrom close sockets as close does: their ports are free, their peers read the end. */
#include "net.h"

enum { LOW = 100 };

/* Two listeners and a connection at LOW, LOW + 1, LOW + 2; the connection's other end is the answer. */
static int fill(int ports[2])
{
	for (int i = 0; i < 2; i++) {
		ports[i] = own_port();
		int ls = listener("127.0.0.1", ports[i]);
		dup2(ls, LOW + i);
		close(ls);
	}
	int other = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(other)), accepted = take(other);
	dup2(fd, LOW + 2);
	close(fd);
	close(other);
	return accepted;
}

static void gone(const char *how, int accepted, const int ports[2])
{
	char c;
	for (int i = 0; i < 3; i++)
		is_err(getsockname(LOW + i, NULL, NULL), EBADF, "%s: descriptor %d is closed", how, i);
	is_int(recv(accepted, &c, 1, 0), 0, "%s: the connection's peer reads the end", how);
	close(accepted);
	for (int i = 0; i < 2; i++) {
		is_int(dial_error("127.0.0.1", ports[i]), ECONNREFUSED, "%s: port %d refuses", how, i);
		int fd = tcp("127.0.0.1");
		is_err(bind_to(fd, "127.0.0.1", ports[i]), 0, "%s: port %d is free", how, i);
		close(fd);
	}
}

int main(void)
{
	int ports[2], accepted = fill(ports);
	is_err(close_range(LOW, LOW + 2, CLOSE_RANGE_CLOEXEC), 0, "close_range CLOEXEC");
	is_str(sockname(LOW), name("127.0.0.1", ports[0]), "closes nothing");
	is_int(fcntl(LOW, F_GETFD), FD_CLOEXEC, "marks");
	ok(passes(LOW + 2, accepted), "the connection goes on");
	is_err(close_range(LOW, LOW + 2, 77), EINVAL, "unknown flags");
	is_err(close_range(LOW + 2, LOW, 0), EINVAL, "an empty range");
	is_int(dial_error("127.0.0.1", ports[1]), 0, "a failure closes nothing");

	is_err(close_range(LOW, LOW + 2, 0), 0, "close_range");
	gone("close_range", accepted, ports);

	accepted = fill(ports);
	is_err(close_range(LOW, ~0U, 0), 0, "close_range without end");
	gone("close_range without end", accepted, ports);

	accepted = fill(ports);
	is_err(close_range(LOW, LOW + 2, CLOSE_RANGE_UNSHARE), 0, "close_range UNSHARE");
	gone("close_range UNSHARE", accepted, ports);

	accepted = fill(ports);
	closefrom(LOW);
	gone("closefrom", accepted, ports);

	/* Sockets outside the range stay. */
	accepted = fill(ports);
	close_range(LOW, LOW, 0);
	is_str(sockname(LOW + 1), name("127.0.0.1", ports[1]), "what is beside the range stays");
	is_int(dial_error("127.0.0.1", ports[1]), 0, "and listens");
	is_int(dial_error("127.0.0.1", ports[0]), ECONNREFUSED, "what is in it does not");
	return done();
}
