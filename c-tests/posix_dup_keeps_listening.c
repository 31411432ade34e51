/* A socket lives until its last descriptor is closed. */
#include "net.h"

int main(void)
{
	int ls = listener("127.0.0.1", 0), port = port_of(ls), copy = dup(ls);
	is_str(sockname(copy), name("127.0.0.1", port), "a copy of a listener has its name");
	close(ls);
	int fd = dial("127.0.0.1", port), accepted = take(copy);
	ok(passes(fd, accepted), "the copy serves when the original is closed");

	int third = dup2(copy, 200), fourth = fcntl(copy, F_DUPFD_CLOEXEC, 100);
	close(copy);
	close(third);
	is_str(sockname(fourth), name("127.0.0.1", port), "a copy of a copy has the name too");
	int again = tcp("127.0.0.1");
	is_err(bind_to(again, "127.0.0.1", port), EADDRINUSE, "the port is held by the last copy");
	close(again);
	is_int(dial_error("127.0.0.1", port), 0, "which listens");
	close(fourth);
	is_int(dial_error("127.0.0.1", port), ECONNREFUSED, "with the last copy the listener is gone");

	/* The same for a connection. */
	char c;
	copy = dup(accepted);
	close(accepted);
	ok(passes(copy, fd), "a connection lives in its copy");
	is_str(peername(copy), sockname(fd), "and keeps its peer");
	ok(!ready(fd, POLLRDHUP), "its peer saw no end");
	close(copy);
	is_int(recv(fd, &c, 1, 0), 0, "with the last copy it ends");
	close(fd);

	/* dup2 over a listener closes it. */
	ls = listener("127.0.0.1", 0);
	port = port_of(ls);
	int null = open("/dev/null", O_RDWR);
	is_int(dup2(null, ls), ls, "dup2 over a listener");
	is_int(dial_error("127.0.0.1", port), ECONNREFUSED, "ends it");
	is_err(getsockname(ls, NULL, NULL), ENOTSOCK, "and its number is no socket");

	/* dup2 of a listener over a connection. */
	ls = listener("127.0.0.1", 0);
	fd = dial("127.0.0.1", port_of(ls));
	accepted = take(ls);
	is_int(dup2(ls, fd), fd, "dup2 of a listener over a connection");
	is_int(recv(accepted, &c, 1, 0), 0, "ends the connection");
	is_str(sockname(fd), sockname(ls), "and the number is the listener");
	return done();
}
