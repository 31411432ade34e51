/* A socket shared by fork holds its port until both processes have closed it, in whatever order and way. */
#include "lonet.h"

static int server;

static int a_bound(void)
{
	return bound_to_next("0.0.0.0");
}

static int a_listener(void)
{
	return listener("0.0.0.0", 0);
}

static int a_dialed(void)
{
	return dial("127.0.0.1", port_of(server));
}

static int (*const kinds[])(void) = { a_bound, a_listener, a_dialed };
static const char *const shown[] = { "a bound socket", "a listener", "a connection" };

static int told[2], go[2];

/* A child that shares fd, and closes it when it is told to, or ends with it. */
static pid_t sharer(int fd, int closes)
{
	make_pipe(told);
	make_pipe(go);
	pid_t pid = fork_child();
	if (pid == 0) {
		say(told[1]);
		hear(go[0]);
		if (closes) {
			close(fd);
			say(told[1]);
			hear(go[0]);
		}
		_exit(0);
	}
	hear(told[0]);
	return pid;
}

static void end(pid_t pid)
{
	say(go[1]);
	reap(pid);
	close_all(told, 2);
	close_all(go, 2);
}

int main(void)
{
	server = listener("127.0.0.1", 0);
	for (int k = 0; k < 3; k++) {
		int fd = kinds[k]();
		pid_t pid = sharer(fd, 1);
		close(fd);
		is_int(next_port(), 3, "%s, closed by the parent, is held by the child", shown[k]);
		say(go[1]);
		hear(told[0]);
		is_int(next_port(), 2, "%s, closed by the parent, then by the child, is free", shown[k]);
		end(pid);

		fd = kinds[k]();
		pid = sharer(fd, 1);
		say(go[1]);
		hear(told[0]);
		is_int(next_port(), 3, "%s, closed by the child, is held by the parent", shown[k]);
		close(fd);
		is_int(next_port(), 2, "%s, closed by the child, then by the parent, is free", shown[k]);
		end(pid);

		fd = kinds[k]();
		pid = sharer(fd, 0);
		close(fd);
		is_int(next_port(), 3, "%s is held by a child that never spoke", shown[k]);
		end(pid);
		is_int(next_port(), 2, "%s is free when that child has ended", shown[k]);

		fd = kinds[k]();
		pid = sharer(fd, 0);
		close(fd);
		kill(pid, SIGKILL);
		reap(pid);
		is_int(next_port(), 2, "%s is free when that child was killed", shown[k]);
		close_all(told, 2);
		close_all(go, 2);

		fd = kinds[k]();
		pid = sharer(fd, 0);
		end(pid);
		is_int(next_port(), 3, "%s is held by its parent when the child has ended", shown[k]);
		close(fd);
		is_int(next_port(), 2, "%s is free when the parent has closed it", shown[k]);
	}

	/* The one who made it goes first: a server that daemonises. */
	int port_told[2], fd_port;
	make_pipe(port_told);
	make_pipe(go);
	pid_t pid = fork_child();
	if (pid == 0) {
		int fd = listener("0.0.0.0", 0);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, 0);
			tap_watchdog();
			hear(go[0]);
			_exit(0);
		}
		tell_number(port_told[1], port_of(fd));
		_exit(0);
	}
	reap(pid);
	fd_port = hear_number(port_told[0]);
	is_int(fd_port, 2, "a server that daemonises");
	is_int(next_port(), 3, "holds its port after its first process");
	int fd = dial("127.0.0.1", 2);
	ok(fd >= 0, "and is reached");
	is_str(peername(fd), "127.0.0.1:2", "under its port");
	close(port_told[1]);
	close(fd);
	say(go[1]);
	/* Its end closes the last writing end. */
	hear(port_told[0]);
	ok(next_becomes(2), "its port is free after it has ended");
	return done();
}
