/* Once a killed process has been waited for, its ports are free and its peers have seen the end. */
#include "net.h"

/* The victim: listens, accepts one, and waits for its end. */
static pid_t victim(int port, int second, int *ready_end)
{
	int up[2];
	make_pipe(up);
	pid_t pid = fork_child();
	if (pid == 0) {
		/* SO_REUSEADDR on both sides: the victim's connection may linger on the port. */
		int ls = tcp("0.0.0.0"), held = bound("127.0.0.1", second);
		set_opt(ls, SOL_SOCKET, SO_REUSEADDR, 1);
		if (bind_to(ls, "0.0.0.0", port) < 0 || listen(ls, 8) < 0)
			_exit(1);
		say(up[1]);
		int fd = take(ls);
		say(up[1]);
		pause();
		_exit(fd + held);
	}
	close(up[1]);
	if (!hear(up[0]))
		bail("the victim did not start");
	*ready_end = up[0];
	return pid;
}

static void killed(int sig, int round)
{
	int port = own_port(), second = own_port(), up;
	char c;
	pid_t pid = victim(port, second, &up);
	int fd = dial("127.0.0.1", port), waiting = dial("127.0.0.1", port);
	hear(up);
	close(up);
	kill(pid, sig);
	is_int(reap(pid), 1000 + sig, "signal %d, round %d: the victim ended", sig, round);

	int again = tcp("0.0.0.0"), held = tcp("127.0.0.1");
	set_opt(again, SOL_SOCKET, SO_REUSEADDR, 1);
	is_err(bind_to(again, "0.0.0.0", port), 0, "signal %d, round %d: its listener's port is free", sig, round);
	is_err(listen(again, 8), 0, "signal %d, round %d: and can be listened on", sig, round);
	is_err(bind_to(held, "127.0.0.1", second), 0, "signal %d, round %d: its bound port is free", sig, round);
	is_int(recv(fd, &c, 1, 0), 0, "signal %d, round %d: who was accepted reads the end", sig, round);
	is_err(recv(waiting, &c, 1, 0), ECONNRESET, "signal %d, round %d: who waited is reset", sig, round);
	reset_on_close(fd);
	close(fd);
	close(waiting);
	close(again);
	close(held);
}

int main(void)
{
	for (int round = 0; round < 5; round++)
		killed(SIGKILL, round);
	killed(SIGTERM, 0);
	return done();
}
