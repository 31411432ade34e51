/* Every call works on the smallest stack that a thread can have. */
#include "net.h"
#include <limits.h>
#include <pthread.h>

static int report; /* the line of the first thing that went wrong; 0 for none */

#define need(cond) \
	do { if (!(cond)) { report = __LINE__; return NULL; } } while (0)

static void *small(void *arg)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT }, b;
	struct sockaddr_in v4 = { .sin_family = AF_INET }, c;
	struct sockaddr *pa = (struct sockaddr *)&a, *pb = (struct sockaddr *)&b;
	socklen_t len = sizeof a, lb = sizeof b;
	char byte;
	(void)arg;

	int ls = socket(AF_INET6, SOCK_STREAM, 0), fd = socket(AF_INET6, SOCK_STREAM, 0);
	need(ls >= 0 && fd >= 0);
	need(bind(ls, pa, sizeof a) == 0);
	need(bind(ls, pa, sizeof a) < 0 && errno == EINVAL);
	need(listen(ls, 8) == 0);
	need(getsockname(ls, pa, &len) == 0 && a.sin6_port != 0);
	need(connect(fd, pa, sizeof a) == 0);
	need(connect(fd, pa, sizeof a) < 0 && errno == EISCONN);
	int accepted = accept(ls, pb, &lb);
	need(accepted >= 0 && lb == sizeof b);
	lb = sizeof b;
	need(getpeername(fd, pb, &lb) == 0 && b.sin6_port == a.sin6_port);
	need(getsockname(accepted, pb, &lb) == 0 && b.sin6_port == a.sin6_port);
	need(send(fd, "x", 1, 0) == 1 && recv(accepted, &byte, 1, 0) == 1);
	need(shutdown(fd, SHUT_WR) == 0 && recv(accepted, &byte, 1, 0) == 0);
	int copy = dup(accepted);
	need(copy >= 0 && dup2(fd, copy) == copy && dup3(ls, copy, O_CLOEXEC) == copy);
	need(close(copy) == 0 && close(fd) == 0 && close(accepted) == 0 && close(ls) == 0);

	/* A refusal, a wildcard, a disconnect. */
	int holder = socket(AF_INET, SOCK_STREAM, 0);
	len = sizeof v4;
	need(bind(holder, (struct sockaddr *)&v4, sizeof v4) == 0);
	need(getsockname(holder, (struct sockaddr *)&c, &len) == 0);
	c.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	need(connect(fd, (struct sockaddr *)&c, sizeof c) < 0 && errno == ECONNREFUSED);
	need(listen(holder, 8) == 0);
	need(connect(fd, (struct sockaddr *)&c, sizeof c) == 0);
	accepted = accept4(holder, NULL, NULL, SOCK_CLOEXEC);
	need(accepted >= 0);
	need(getpeername(accepted, (struct sockaddr *)&v4, &len) == 0 && v4.sin_family == AF_INET);
	v4.sin_family = AF_UNSPEC;
	need(connect(fd, (struct sockaddr *)&v4, sizeof v4) == 0);
	need(close_range((unsigned)accepted, (unsigned)accepted, 0) == 0);

	int server = socket(AF_INET, SOCK_DGRAM, 0);
	memset(&v4, 0, sizeof v4);
	v4.sin_family = AF_INET;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	len = sizeof v4;
	need(bind(server, (struct sockaddr *)&v4, sizeof v4) == 0);
	need(getsockname(server, (struct sockaddr *)&v4, &len) == 0);
	need(sendto(server, "u", 1, 0, (struct sockaddr *)&v4, sizeof v4) == 1);
	need(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&c, &len) == 1 && c.sin_port == v4.sin_port);
	need(close(server) == 0 && close(holder) == 0 && close(fd) == 0);
	return &report;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	void *result = NULL;

	pthread_attr_init(&attr);
	if (pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN) != 0)
		bail("a stack of %ld bytes", (long)PTHREAD_STACK_MIN);
	for (int i = 0; i < 3; i++) {
		if (pthread_create(&thread, &attr, small, NULL) != 0)
			bail("pthread_create");
		pthread_join(thread, &result);
		ok(result == &report, "all calls on a stack of %ld bytes, thread %d (line %d)", (long)PTHREAD_STACK_MIN, i,
		   report);
	}
	return done();
}
