/* lonet_accept waits for a lonetd that does not reply once, for all connections that it rejects and for the addresses of the one
 * that it returns. */
#include "api.h"
#include <time.h>

/* As a program outside the network. */
static int dialed_outside(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (const struct sockaddr *)to, sizeof *to))
		bail("connect: %s", strerror(errno));
	return fd;
}

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	int l = listening(a, ":80");
	struct sockaddr_in at;
	socklen_t len = sizeof at;
	struct timespec begin, end;
	struct lonet_addr here, there;
	pid_t daemon = daemon_of(net);
	if (getsockname(l, (struct sockaddr *)&at, &len))
		bail("getsockname: %s", strerror(errno));

	kill(daemon, SIGSTOP);
	/* These have gone, so that nothing tells whose they were. */
	close(dialed_outside(&at));
	close(dialed_outside(&at));
	int outside = dialed_outside(&at);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	is_err(lonet_accept(l, 0, &here, &there), ENETDOWN, "the addresses of a connection from outside are not known");
	clock_gettime(CLOCK_MONOTONIC, &end);
	ok(end.tv_sec - begin.tv_sec < 10, "which is said within lonetd's limit");
	kill(daemon, SIGCONT);

	int d = dialed(b, "α:80");
	struct ends e = accepted(l);
	is_addr(e.peer, "β:1", "the next accept returns a host");
	ok(passes(d, e.fd), "and the connection carries bytes");
	close(outside);
	close(d);
	close(e.fd);
	close(l);
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
