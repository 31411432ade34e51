/* Socket activation: a manager binds, and starts the service with its listeners as descriptors 3 and 4,
 * LISTEN_FDS and LISTEN_PID set, and an environment of its own making. The service accepts, and sees its
 * own and its peers' addresses. */
#include "net.h"
#include <linux/close_range.h>

enum { FIRST = 3 };

static const char *ips[2] = { "127.0.0.1", "::1" };

/* As sd_listen_fds and sd_is_socket_inet do it. */
static int service(void)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	if (!fds || !pid || atoi(pid) != getpid() || atoi(fds) != 2)
		return 10;
	for (int i = 0; i < 2; i++) {
		int ls = FIRST + i;
		if (get_opt(ls, SOL_SOCKET, SO_TYPE) != SOCK_STREAM || get_opt(ls, SOL_SOCKET, SO_ACCEPTCONN) != 1 ||
		    get_opt(ls, SOL_SOCKET, SO_DOMAIN) != family_of(ips[i]))
			return 11;
		int fd = take(ls);
		char line[200];
		snprintf(line, sizeof line, "%s %s %s", sockname(ls), sockname(fd), peername(fd));
		if (send(fd, line, strlen(line) + 1, MSG_NOSIGNAL) < 0)
			return 12;
		close(fd);
	}
	return 0;
}

static void activate(const int listeners[2])
{
	char listen_pid[32];
	char *env[] = { (char *)"LISTEN_FDS=2", listen_pid, (char *)"LISTEN_FDNAMES=a:b", NULL };
	snprintf(listen_pid, sizeof listen_pid, "LISTEN_PID=%d", getpid());
	/* Out of the way first: one may be where the other goes. */
	int copies[2] = { fcntl(listeners[0], F_DUPFD, 100), fcntl(listeners[1], F_DUPFD, 100) };
	if (dup2(copies[0], FIRST) < 0 || dup2(copies[1], FIRST + 1) < 0 || close_range(FIRST + 2, ~0u, 0) < 0)
		_exit(98);
	execle("/proc/self/exe", "service", "serve", (char *)NULL, env);
	_exit(99);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "serve"))
		return service();
	int listeners[2], ports[2];
	for (int i = 0; i < 2; i++) {
		listeners[i] = listener(ips[i], 0);
		ports[i] = port_of(listeners[i]);
	}
	pid_t pid = fork_child();
	if (pid == 0)
		activate(listeners);
	for (int i = 0; i < 2; i++)
		close(listeners[i]);
	for (int i = 0; i < 2; i++) {
		char got[200] = "", want[200];
		int fd = dial(ips[i], ports[i]);
		ok(recv(fd, got, sizeof got, 0) > 0, "%s: the service answers", ips[i]);
		snprintf(want, sizeof want, "%s %s %s", name(ips[i], ports[i]), name(ips[i], ports[i]), sockname(fd));
		is_str(got, want, "%s: with the names of its socket, the connection, and the caller", ips[i]);
		close(fd);
	}
	is_int(reap(pid), 0, "it had found its listeners as they were promised");
	return done();
}
