/* shutdown, or connect with AF_UNSPEC, ends listening. The socket keeps its port unless another one has taken it, and can listen
 * again. */
#include "lonet.h"

int main(void)
{
	int ls = listener("0.0.0.0", 0), port = port_of(ls);
	int held = bound_to_next("0.0.0.0");
	is_err(shutdown(ls, SHUT_RD), 0, "a listener is shut down");
	is_int(port_of(ls), port, "and keeps its name");
	is_err(dial_error("127.0.0.1", port) == ECONNREFUSED ? 0 : -1, 0, "dials are refused");
	is_int(next_port(), 3, "its port is not the next");
	is_err(listen(ls, 8), 0, "it listens again");
	is_int(port_of(ls), port, "under its name");
	is_int(next_port(), 3, "the next port is what it was");
	int fd = dial("127.0.0.1", port), accepted = take(ls);
	is_str(peername(fd), name("127.0.0.1", port), "it is dialed at the same port");
	is_str(peername(accepted), "127.0.0.1:3", "by a caller with the next one");
	is_int(next_port(), 4, "which is held");
	close(fd);
	close(accepted);

	/* What waits to be accepted is reset, and holds its port no longer. */
	for (int i = 0; i < 2; i++) {
		struct sockaddr nobody = { .sa_family = AF_UNSPEC };
		const char *by = i ? "connect with AF_UNSPEC" : "shutdown";
		char c;
		int waiting = dial("127.0.0.1", port);
		is_int(next_port(), 4, "a dial holds the next port");
		is_err(i ? connect(ls, &nobody, sizeof nobody) : shutdown(ls, SHUT_RD), 0, "%s", by);
		is_err(recv(waiting, &c, 1, 0), ECONNRESET, "%s: the dial is reset", by);
		is_int(next_port(), 3, "%s: its port is free", by);
		is_err(listen(ls, 8), 0, "%s: the listener listens again", by);
		close(waiting);
	}
	close(ls);
	is_int(next_port(), 1, "closed, it gives its port back");

	/* Without a bind, listen takes the first free port. */
	int second = tcp("0.0.0.0");
	is_err(listen(second, 8), 0, "listen without bind");
	is_int(port_of(second), 1, "takes the first free port");
	is_err(shutdown(second, SHUT_RDWR), 0, "shut down");
	is_err(listen(second, 8), 0, "and listening again");
	is_int(port_of(second), 1, "it has its port");
	is_int(next_port(), 3, "once");
	close(second);
	is_int(next_port(), 1, "closed, it gives it back");
	close(held);
	return done();
}
