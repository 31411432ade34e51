/* 2,000 connections from one host to 600 listeners of another: every accept stores the right peer address,
 * although source ports repeat across destinations, and every other dialer has closed by then and its port
 * been reused. */
#include "lonet.h"
#include <sys/resource.h>

enum { LISTENERS = 600, CALLS = 2000, FIRST = 1000 };

static void raise_limit(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < LISTENERS + CALLS + 100)
		bail("no more than %ld descriptors", (long)limit.rlim_max);
}

/* A dial from one of 16 source ports, where the kernel can be told (6.3): each serves a hundred destinations. */
static int dial_from_few(const char *ip, int port)
{
	enum { IP_LOCAL_PORT_RANGE_ = 51 };
	unsigned range = 40015u << 16 | 40000;
	int fd = tcp(ip);
	setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE_, &range, sizeof range);
	if (connect_to(fd, ip, port) < 0)
		bail("connect to %s", name(ip, port));
	return fd;
}

/* Says its port on each connection; closes every other one at once. */
static int callers(char **argv)
{
	int go = atoi(argv[3]);
	raise_limit();
	for (int i = 0; i < CALLS; i++) {
		int fd = dial_from_few(argv[2], FIRST + i % LISTENERS), port = port_of(fd);
		if (send(fd, &port, sizeof port, MSG_NOSIGNAL) != sizeof port)
			bail("send");
		if (i % 2)
			close(fd);
	}
	hear(go);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return callers(argv);
	raise_limit();
	const char *own = address_of("α.lonet"), *beta = address_of("β.lonet");
	int ls[LISTENERS], go[2];
	for (int i = 0; i < LISTENERS; i++)
		ls[i] = listener("0.0.0.0", FIRST + i);
	make_pipe(go);
	char g[12];
	snprintf(g, sizeof g, "%d", go[0]);
	char *arguments[] = { argv[0], "callers", (char *)own, g, NULL };
	pid_t pid = spawn_host("β", arguments, go[0], -1);

	int named = 0, named_again = 0, highest = 0, accepted[CALLS];
	for (int i = 0; i < CALLS; i++) {
		/* From the last listener to the first within each round, so that accepts come late and out of order. */
		int round = i / LISTENERS, in_round = round < CALLS / LISTENERS ? LISTENERS : CALLS % LISTENERS;
		int which = in_round - 1 - i % LISTENERS, claimed;
		union sa from;
		socklen_t len = sizeof from;
		int fd = accept(ls[which], &from.any, &len);
		if (fd < 0 || recv(fd, &claimed, sizeof claimed, MSG_WAITALL) != sizeof claimed)
			bail("accept of call %d", i);
		named += !strcmp(text(&from), name(beta, claimed));
		if (strcmp(text(&from), name(beta, claimed)))
			printf("# call %d: accept says %s, the caller %d\n", i, text(&from), claimed);
		const char *peer = peername(fd);
		named_again += !strcmp(peer, name(beta, claimed));
		highest = claimed > highest ? claimed : highest;
		accepted[i] = fd;
	}
	is_int(named, CALLS, "accept names every caller");
	is_int(named_again, CALLS, "and getpeername does");
	is_int(highest, CALLS / 2 + 1, "ports of callers that closed were given to later ones");
	for (int i = 0; i < CALLS; i++)
		close(accepted[i]);
	close(go[1]);
	is_int(reap(pid), 0, "the callers end well");
	return done();
}
