/* bind to port 0 does not give a process a port again that it got this way and closed unused, so that a
 * program which looks for a free port until it gets another one comes to an end. Once its socket has
 * listened or connected, the port may be given again. Other processes' ports are not affected. */
#include "child.h"
#include "lonet.h"

/* The port that bind to port 0 gives; it is closed unused. */
static int probe(const char *ip)
{
	int fd = bound(ip, 0), port = port_of(fd);
	close(fd);
	return port;
}

static int listens_and_closes(void)
{
	int fd = listener("0.0.0.0", 0), port = port_of(fd);
	close(fd);
	return port;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return probe("0.0.0.0");
	char *const again[] = { argv[0], "probe", NULL };

	is_int(probe("0.0.0.0"), 1, "the first bind to port 0");
	is_int(probe("127.0.0.1"), 2, "the second, of another address");
	is_int(probe("::"), 3, "the third, of the other family");
	is_int(next_port(), 1, "listen without bind gets the first free port");
	int server = listener("0.0.0.0", 1), fd = dial("127.0.0.1", 1), accepted = take(server);
	is_int(port_of(fd), 2, "a dial does, too");

	/* What is used. */
	is_int(listens_and_closes(), 4, "a socket that listens");
	is_int(listens_and_closes(), 4, "its port is given again");
	int dialer = bound("0.0.0.0", 0);
	is_int(port_of(dialer), 4, "and again");
	if (connect_to(dialer, "127.0.0.1", 1) < 0)
		bail("connect");
	close(take(server));
	close(dialer);
	is_int(probe("0.0.0.0"), 4, "that of a socket that has connected, too");
	is_int(probe("0.0.0.0"), 5, "once it is closed unused, the next is given");
	int by_number = bound("0.0.0.0", 4);
	is_int(port_of(by_number), 4, "by its number it can be had");
	close(by_number);

	/* Processes. */
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(probe("0.0.0.0") != 6 || probe("0.0.0.0") != 7);
	is_int(reap(pid), 0, "a child of fork knows what its parent was given");
	is_int(probe("0.0.0.0"), 6, "what the child is given the parent does not know");
	pid = fork_child();
	if (pid == 0) {
		execv("/proc/self/exe", again);
		_exit(127);
	}
	is_int(reap(pid), 3, "what is executed begins anew");

	/* A listener that nobody calls is no end either; one that somebody calls is none of it. */
	int tries = 0, port;
	while ((port = listens_and_closes()) == 7 && tries < 1000)
		tries++;
	is_int(port, 8, "whoever probes by listening comes to another port");
	ok(tries >= 50, "not soon: a server that is begun anew has its port (%d times)", tries);
	for (tries = 0; tries < 200; tries++) {
		int ls = listener("0.0.0.0", 0), caller;
		if ((port = port_of(ls)) != 8)
			break;
		caller = dial("127.0.0.1", port);
		close(take(ls));
		close(caller);
		close(ls);
	}
	is_int(tries, 200, "one that was called has its port as often as it is begun");
	close(fd);
	close(accepted);
	return done();
}
