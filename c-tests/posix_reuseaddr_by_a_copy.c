/* SO_REUSEADDR belongs to the socket, not to a descriptor: whichever descriptor sets it, all read it, and
 * it decides whether a second socket may bind the port. */
#include "fd_passing.h"

static int reuse(int fd)
{
	return get_opt(fd, SOL_SOCKET, SO_REUSEADDR);
}

/* Whether a second socket, with SO_REUSEADDR, can have the port. */
static int second(int port)
{
	int fd = tcp("127.0.0.1");
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	int err = bind_to(fd, "0.0.0.0", port) < 0 ? errno : 0;
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		int fd = atoi(argv[2]), before = reuse(fd);
		set_opt(fd, SOL_SOCKET, SO_REUSEADDR, !before);
		return before == 0 && reuse(fd) == 1 && second(port_of(fd)) == 0 ? 0 : 1;
	}
	for (int i = 0; i < COPIES; i++) {
		const char *by = copies[i].shown;
		int fd = bound("0.0.0.0", 0), copy = copies[i].copy(fd), port = port_of(fd);
		is_int(reuse(copy), 0, "%s: nothing is set", by);
		is_int(second(port), EADDRINUSE, "%s: a second socket cannot bind the port", by);
		set_opt(copy, SOL_SOCKET, SO_REUSEADDR, 1);
		is_int(reuse(copy), 1, "%s: set by the copy", by);
		is_int(reuse(fd), 1, "%s: the original reads it", by);
		is_int(second(port), 0, "%s: and a second socket can", by);
		set_opt(fd, SOL_SOCKET, SO_REUSEADDR, 0);
		is_int(reuse(copy), 0, "%s: taken back by the original, the copy reads it", by);
		close(fd);
		set_opt(copy, SOL_SOCKET, SO_REUSEADDR, 1);
		is_int(second(port), 0, "%s: the copy alone, set again", by);
		close(copy);
	}
	int fd = bound("0.0.0.0", 0);
	is_int(by_exec(argv[0], "set", fd), 0, "a program that is executed sets it");
	is_int(reuse(fd), 1, "its parent reads it");
	is_int(second(port_of(fd)), 0, "and a second socket can bind the port");
	return done();
}
