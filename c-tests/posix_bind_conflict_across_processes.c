/* A port held by another process is held: bind conflicts do not depend on the process. */
#include "net.h"

static const struct {
	const char *shown, *holder_ip, *ip;
	int option; /* set on both sides; 0 for none */
	int listening, want;
} cases[] = {
	{ "bound there, bound here", "0.0.0.0", "0.0.0.0", 0, 0, EADDRINUSE },
	{ "listening there", "0.0.0.0", "0.0.0.0", 0, 1, EADDRINUSE },
	{ "listening there, loopback here", "0.0.0.0", "127.0.0.1", 0, 1, EADDRINUSE },
	{ "loopback there, wildcard here", "127.0.0.1", "0.0.0.0", 0, 1, EADDRINUSE },
	{ "v4 there, dual-stack here", "127.0.0.1", "::", 0, 1, EADDRINUSE },
	{ "dual-stack there, v4 here", "::", "127.0.0.1", 0, 1, EADDRINUSE },
	{ "v4 there, v6 loopback here", "0.0.0.0", "::1", 0, 1, 0 },
	{ "SO_REUSEADDR, only bound there", "0.0.0.0", "0.0.0.0", SO_REUSEADDR, 0, 0 },
	{ "SO_REUSEADDR, listening there", "0.0.0.0", "0.0.0.0", SO_REUSEADDR, 1, EADDRINUSE },
	{ "SO_REUSEPORT, listening there", "0.0.0.0", "0.0.0.0", SO_REUSEPORT, 1, 0 },
};

static int make(const char *ip, int option)
{
	int fd = tcp(ip);
	if (option)
		set_opt(fd, SOL_SOCKET, option, 1);
	return fd;
}

/* The holder: binds, says so, and keeps the port until told. */
static pid_t hold(size_t i, int port, int *tell)
{
	int up[2], down[2];
	make_pipe(up);
	make_pipe(down);
	pid_t pid = fork_child();
	if (pid == 0) {
		int fd = make(cases[i].holder_ip, cases[i].option);
		close(down[1]);
		if (bind_to(fd, cases[i].holder_ip, port) < 0 || (cases[i].listening && listen(fd, 1) < 0))
			_exit(1);
		say(up[1]);
		hear(down[0]);
		_exit(0);
	}
	close(up[1]);
	close(down[0]);
	if (!hear(up[0]))
		bail("the holder got no port");
	close(up[0]);
	*tell = down[1];
	return pid;
}

int main(void)
{
	int port = own_port();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int tell, fd = make(cases[i].ip, cases[i].option);
		pid_t holder = hold(i, port, &tell);

		is_err(bind_to(fd, cases[i].ip, port), cases[i].want, "%s", cases[i].shown);
		say(tell);
		close(tell);
		reap(holder);
		if (cases[i].want)
			is_err(bind_to(fd, cases[i].ip, port), 0, "%s: free when the holder has ended", cases[i].shown);
		close(fd);
	}
	return done();
}
