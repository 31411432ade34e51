/* A server that accepts one connection, closes its listener, replies and ends, as nc -l does: however soon
 * that happens, its client keeps the connection. */
#include "net.h"

enum { ROUNDS = 200 };

static int serve_once(int ready)
{
	int ls = listener("127.0.0.1", 0), port = port_of(ls);
	if (write(ready, &port, sizeof port) != sizeof port)
		return 1;
	int fd = take(ls);
	close(ls);
	return send(fd, "x", 1, MSG_NOSIGNAL) != 1;
}

int main(void)
{
	int lost = 0;
	for (int i = 0; i < ROUNDS; i++) {
		int ready[2], port;
		char c;
		make_pipe(ready);
		pid_t pid = fork_child();
		if (pid == 0)
			_exit(serve_once(ready[1]));
		if (read(ready[0], &port, sizeof port) != sizeof port)
			bail("the server does not listen");
		int fd = tcp("127.0.0.1");
		lost += connect_to(fd, "127.0.0.1", port) < 0 || recv(fd, &c, 1, 0) != 1;
		close(fd);
		if (reap(pid) != 0)
			bail("the server");
		close(ready[0]);
		close(ready[1]);
	}
	is_int(lost, 0, "every caller is answered");
	return done();
}
