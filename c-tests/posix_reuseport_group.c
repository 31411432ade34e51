/* Several processes listen on one port with SO_REUSEPORT: each client is served by one of them. */
#include "net.h"

enum { WORKERS = 4, CALLERS = 64 };

static int member(const char *ip, int port)
{
	int fd = tcp(ip);
	set_opt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (bind_to(fd, ip, port) < 0 || listen(fd, CALLERS) < 0)
		bail("a member of the group");
	return fd;
}

/* Serves until stop is closed; each caller gets the worker's number. */
static void work(const char *ip, int port, int number, int up, int stop)
{
	int ls = member(ip, port);
	char digit = (char)('0' + number);
	say(up);
	for (;;) {
		struct pollfd p[2] = { { ls, POLLIN, 0 }, { stop, POLLIN, 0 } };
		if (poll(p, 2, -1) < 0)
			_exit(2);
		if (p[0].revents) {
			int fd = accept(ls, NULL, NULL);
			if (fd < 0 || send(fd, &digit, 1, MSG_NOSIGNAL) != 1)
				_exit(3);
			close(fd);
		} else {
			_exit(0);
		}
	}
}

static void group(const char *ip, const char *dest)
{
	int port = own_port(), up[2], stop[2], served = 0, by[WORKERS] = { 0 }, fds[CALLERS];
	pid_t pids[WORKERS];
	make_pipe(up);
	make_pipe(stop);
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork_child();
		if (pids[i] == 0) {
			close(stop[1]);
			work(ip, port, i, up[1], stop[0]);
		}
	}
	for (int i = 0; i < WORKERS; i++)
		hear(up[0]);

	int outsider = tcp(ip);
	is_err(bind_to(outsider, ip, port), EADDRINUSE, "%s: a socket without SO_REUSEPORT stays out", ip);
	close(outsider);

	for (int i = 0; i < CALLERS; i++)
		fds[i] = dial(dest, port);
	for (int i = 0; i < CALLERS; i++) {
		char who;
		if (recv(fds[i], &who, 1, 0) == 1 && who >= '0' && who < '0' + WORKERS) {
			served++;
			by[who - '0']++;
		}
		close(fds[i]);
	}
	is_int(served, CALLERS, "%s: all are served", ip);
	ok(by[0] < CALLERS && by[1] < CALLERS && by[2] < CALLERS && by[3] < CALLERS,
	   "%s: and not all by one (%d %d %d %d)", ip, by[0], by[1], by[2], by[3]);

	close(stop[0]);
	close(stop[1]);
	for (int i = 0; i < WORKERS; i++)
		is_int(reap(pids[i]), 0, "%s: worker %d ends", ip, i);
	is_int(dial_error(dest, port), ECONNREFUSED, "%s: without the group the port is closed", ip);
	close(up[0]);
	close(up[1]);
}

int main(void)
{
	group("127.0.0.1", "127.0.0.1");
	group("0.0.0.0", "127.0.0.1");
	group("::", "127.0.0.1");

	/* One process, two members, the second one leaves. */
	int port = own_port(), a = member("127.0.0.1", port), b = member("127.0.0.1", port);
	is_int(get_opt(a, SOL_SOCKET, SO_REUSEPORT), 1, "SO_REUSEPORT reads back");
	is_str(sockname(b), sockname(a), "members have one name");
	close(b);
	int fd = dial("127.0.0.1", port), accepted = take(a);
	ok(passes(fd, accepted), "the one that stays serves all");
	return done();
}
