/* A harness: starts an unmodified Redis as host α of its network, and dials it from a host of its own. */
#include "api.h"

/* The lonet command is beside the library, or in PATH. */
static pid_t start(const char *network, char *const argv[])
{
	pid_t pid = fork_child();
	if (pid == 0) {
		char *lonet[32] = { (char *)"lonet", (char *)"run", (char *)"--network", (char *)network,
		                    (char *)"--host", (char *)"α",   (char *)"--" };
		int n = 7;
		while (*argv)
			lonet[n++] = *argv++;
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		execvp("lonet", lonet);
		_exit(127);
	}
	return pid;
}

static int ask(int fd, const char *question, const char *answer)
{
	char got[100];
	size_t n = strlen(answer);
	return send(fd, question, strlen(question), MSG_NOSIGNAL) > 0 && recv(fd, got, n, MSG_WAITALL) == (ssize_t)n &&
	       !memcmp(got, answer, n);
}

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *b = host(net, "β", 0);
	char port[] = "6379";
	char *redis[] = { (char *)"redis-server", (char *)"--port", port, (char *)"--save", (char *)"",
	                  (char *)"--protected-mode", (char *)"no", NULL };
	pid_t pid = start(lonet_network(net) + strlen("lonet"), redis);

	int fd, status;
	while ((fd = lonet_dial(b, "α:6379", -1)) < 0) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			bail("redis-server has ended with status %#x", status);
		usleep(10000);
	}
	is_addr(local(fd), "β:1", "its first free port, after all the refused dials");
	is_addr(peer(fd), "α:6379", "an unmodified program accepts as TCP does");
	ok(ask(fd, "PING\r\n", "+PONG\r\n"), "it answers");
	ok(ask(fd, "SET k v\r\n", "+OK\r\n"), "and keeps");
	ok(ask(fd, "GET k\r\n", "$1\r\nv\r\n"), "what it is told");
	ok(send(fd, "CLIENT LIST\r\n", 13, 0) == 13, "whom does it see?");
	char list[500];
	ssize_t n = recv(fd, list, sizeof list - 1, 0);
	list[n > 0 ? n : 0] = 0;
	ok(strstr(list, ":1 laddr=") && strstr(list, ":6379 "), "port 1 of a host: %.70s", list + 6);
	is_err(lonet_host_new(net, "α", 0, NULL), EEXIST, "α is taken");
	int second = dialed(b, "α:6379");
	is_addr(local(second), "β:2", "the next port");
	close(second);

	kill(pid, SIGTERM);
	is_int(reap(pid), 0, "Redis ends");
	is_int(recv(fd, list, 1, 0), 0, "and so does the connection");
	is_fail(lonet_dial(b, "α:6379", -1), EHOSTUNREACH, "dial %s β:2->α:6379: no such host", lonet_network(net));
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
