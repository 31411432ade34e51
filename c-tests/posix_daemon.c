/* A daemon by the book: fork, setsid, fork, chdir, all descriptors closed, standard ones to /dev/null.
 * Sockets it bound before go on, new ones work, and both end with it. */
#include "net.h"
#include <sys/stat.h>
#include <sys/wait.h>

/* The daemon proper: one caller on each listener, who hears the name that it is seen under. */
static void serve(int kept, int port)
{
	int listeners[2] = { kept, listener("127.0.0.1", port) };
	for (int i = 0; i < 2; i++) {
		int fd = take(listeners[i]);
		const char *who = peername(fd);
		if (send(fd, who, strlen(who) + 1, MSG_NOSIGNAL) < 0)
			_exit(1);
		close(fd);
	}
	_exit(0);
}

static void daemonise(int keep, int port)
{
	if (setsid() < 0)
		_exit(2);
	pid_t pid = fork();
	if (pid)
		_exit(pid < 0);
	tap_watchdog();
	umask(0);
	if (chdir("/") < 0)
		_exit(2);
	for (int fd = (int)sysconf(_SC_OPEN_MAX) > 4096 ? 4096 : (int)sysconf(_SC_OPEN_MAX); fd-- > 0;)
		if (fd != keep)
			close(fd);
	if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
		_exit(2);
	serve(keep, port);
}

static void call(int port, const char *which)
{
	char seen[80] = "";
	int fd;
	/* It may not listen yet. */
	while (fd = tcp("127.0.0.1"), connect_to(fd, "127.0.0.1", port) < 0) {
		if (errno != ECONNREFUSED)
			bail("connect");
		close(fd);
		sched_yield();
	}
	ok(recv(fd, seen, sizeof seen, 0) > 0, "%s: the daemon answers", which);
	is_str(seen, sockname(fd), "%s: and names its caller", which);
	is_str(peername(fd), name("127.0.0.1", port), "%s: which knows whom it has called", which);
	close(fd);
}

int main(void)
{
	/* The daemon's end is seen by whoever adopts it. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		bail("PR_SET_CHILD_SUBREAPER");
	int ls = listener("127.0.0.1", 0), before = port_of(ls), after = own_port();
	pid_t pid = fork_child();
	if (pid == 0)
		daemonise(ls, after);
	close(ls);
	is_int(reap(pid), 0, "the first process ends at once");
	call(before, "bound before");
	call(after, "bound after");
	int status;
	ok(wait(&status) > 0 && status == 0, "the daemon ends well");
	is_int(dial_error("127.0.0.1", before), ECONNREFUSED, "with it the listener from before");
	is_int(dial_error("127.0.0.1", after), ECONNREFUSED, "and the one from after");
	return done();
}
