/* Errors of accept: no descriptor, no socket, no listener, no stream socket; unknown flags; an unwritable
 * address. */
#include "net.h"

static int taken(int fd, int by_accept4)
{
	union sa from;
	socklen_t len = sizeof from;
	return by_accept4 ? accept4(fd, &from.any, &len, 0) : accept(fd, &from.any, &len);
}

int main(void)
{
	int file = open("/dev/null", O_RDONLY), udp = socket(AF_INET, SOCK_DGRAM, 0), fresh = tcp("127.0.0.1");
	int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls)), accepted = take(ls);
	int held = bound("127.0.0.1", 0), pipes[2];
	make_pipe(pipes);
	for (int by_accept4 = 0; by_accept4 < 2; by_accept4++) {
		const char *how = by_accept4 ? "accept4" : "accept";
		is_err(taken(-1, by_accept4), EBADF, "%s: -1", how);
		is_err(taken(999, by_accept4), EBADF, "%s: a number that is not open", how);
		is_err(taken(file, by_accept4), ENOTSOCK, "%s: a file", how);
		is_err(taken(pipes[0], by_accept4), ENOTSOCK, "%s: a pipe", how);
		is_err(taken(udp, by_accept4), EOPNOTSUPP, "%s: a UDP socket", how);
		is_err(taken(fresh, by_accept4), EINVAL, "%s: a fresh socket", how);
		is_err(taken(held, by_accept4), EINVAL, "%s: a bound socket", how);
		is_err(taken(fd, by_accept4), EINVAL, "%s: a dialed socket", how);
		is_err(taken(accepted, by_accept4), EINVAL, "%s: an accepted socket", how);
	}
	is_err(accept4(ls, NULL, NULL, 1 << 30), EINVAL, "accept4: a flag that is not there");

	/* Who calls a listener that is shut down while it is waited for is not there any more. */
	fcntl(ls, F_SETFL, O_NONBLOCK);
	is_err(accept(ls, NULL, NULL), EAGAIN, "nobody waits");
	shutdown(ls, SHUT_RDWR);
	is_err(accept(ls, NULL, NULL), EINVAL, "a listener that was shut down");

	/* Somebody waits, and there is nowhere to write the name: the caller is not there for the next one either way. */
	int other = listener("127.0.0.1", 0), caller = dial("127.0.0.1", port_of(other));
	socklen_t len = sizeof(union sa);
	void *volatile bad = (void *)8;
	is_err(accept(other, bad, &len), EFAULT, "the name's address is bad");
	close(caller);
	caller = dial("127.0.0.1", port_of(other));
	union sa from;
	is_err(accept(other, &from.any, bad), EFAULT, "the length's address is bad");
	close(caller);
	caller = dial("127.0.0.1", port_of(other));
	len = (socklen_t)-1;
	is_err(accept(other, &from.any, &len), EINVAL, "a negative length");
	return done();
}
