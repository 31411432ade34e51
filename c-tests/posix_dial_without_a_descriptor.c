/* connect needs no descriptor but its socket's, and accept only the one that it returns: with no other one
 * left they work, whatever has happened to other sockets and to the process that made the listener. */
#include "net.h"
#include <sys/resource.h>

/* A listener whose first process has ended: a server in the background. It accepts, and echoes, and takes the next one. */
static int daemon_port(int *alive)
{
	int told[2], number = 0;
	make_pipe(told);
	make_pipe(alive);
	pid_t pid = fork_child();
	if (pid == 0) {
		int ls = listener("127.0.0.1", 0), port = port_of(ls);
		close(alive[1]);
		if (fork() == 0) {
			tap_watchdog();
			prctl(PR_SET_PDEATHSIG, 0);
			close(told[0]);
			close(told[1]);
			fcntl(ls, F_SETFL, O_NONBLOCK);
			struct pollfd any[] = { { ls, POLLIN, 0 }, { alive[0], POLLIN, 0 } };
			while (poll(any, 2, -1) > 0 && !any[1].revents) {
				char got[4];
				int fd = accept(ls, NULL, NULL);
				if (fd >= 0 && recv(fd, got, 4, MSG_WAITALL) == 4 && send(fd, got, 4, MSG_NOSIGNAL) == 4)
					close(fd);
			}
			_exit(0);
		}
		if (write(told[1], &port, sizeof port) != sizeof port)
			_exit(1);
		_exit(0);
	}
	if (reap(pid) || read(told[0], &number, sizeof number) != sizeof number)
		bail("a server in the background");
	close(told[0]);
	close(told[1]);
	close(alive[0]);
	return number;
}

static int echoes(int fd)
{
	char got[4];
	return send(fd, "ping", 4, MSG_NOSIGNAL) == 4 && recv(fd, got, 4, MSG_WAITALL) == 4 && !memcmp(got, "ping", 4);
}

int main(void)
{
	enum { SOCKETS = 8 };
	int alive[2], port = daemon_port(alive), first = dial("127.0.0.1", port), sockets[SOCKETS];
	ok(echoes(first), "a server in the background is reached");
	int ls = listener("127.0.0.1", 0), null = open("/dev/null", O_RDWR);
	int idle = bound("127.0.0.1", 0), held = dial("127.0.0.1", port_of(ls)), caller = dial("127.0.0.1", port_of(ls));
	int copy_of_idle = dup2(idle, 100), copy_of_held = dup2(held, 101), copy_of_caller = dup2(caller, 102);
	int shut = tcp("127.0.0.1"), taken = take(ls);
	for (int i = 0; i < SOCKETS; i++)
		sockets[i] = tcp("127.0.0.1");

	struct rlimit limit, former;
	getrlimit(RLIMIT_NOFILE, &former);
	limit = former;
	limit.rlim_cur = 103;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		bail("setrlimit");
	while (dup(null) >= 0)
		;
	is_err(dup(null), EMFILE, "no descriptor is left");

	is_err(connect_to(sockets[0], "127.0.0.1", port_of(ls)), 0, "a dial");
	is_err(connect_to(sockets[1], "127.0.0.1", port), 0, "a dial to a listener whose first process has ended");
	ok(echoes(sockets[1]), "is served");
	is_int(dup2(null, copy_of_held), copy_of_held, "a descriptor of a connection goes");
	is_err(connect_to(sockets[2], "127.0.0.1", port_of(ls)), 0, "a dial after that");
	is_int(dup2(null, copy_of_idle), copy_of_idle, "a descriptor of a bound socket goes");
	is_err(connect_to(sockets[3], "127.0.0.1", port_of(ls)), 0, "a dial after that");
	is_int(dup2(null, copy_of_caller), copy_of_caller, "a descriptor of a caller goes who waits to be accepted");

	/* Each accept has the number that the one before has freed. */
	union sa from;
	socklen_t len = sizeof from;
	const int dialers[] = { caller, sockets[0], sockets[2], sockets[3] };
	close(shut);
	for (int i = 0; i < 4; i++) {
		int got = accept(ls, &from.any, (len = sizeof from, &len));
		if (!ok(got >= 0, "accept %d", i))
			continue;
		is_str(text(&from), sockname(dialers[i]), "names its caller");
		ok(passes(got, dialers[i]), "which is served");
		close(got);
	}
	setrlimit(RLIMIT_NOFILE, &former);
	ok(passes(held, taken), "the connection from before goes on");
	close(alive[1]);
	return done();
}
