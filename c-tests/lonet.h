/* lonet.h - for tests of lonet itself: each runs alone, as host α of a network that is empty but for it, so that it
 * can say which port comes next. Other hosts are the same program again: host_main() is what they run.
 *
 * "Next" is what a listen without bind gets: the first free port. Ports of α count from 1; a test that has nothing open
 * gets 1. (bind to port 0 does not give a process twice what it has closed unused.)
 */
#ifndef LONET_H
#define LONET_H

#include "net.h"
#include <linux/close_range.h>
#include <netdb.h>
#include <time.h>

/* A listener on the next port, without a bind. */
static inline int listener_on_next(void)
{
	int fd = tcp("0.0.0.0");
	if (listen(fd, 64) < 0)
		bail("listen");
	return fd;
}

/* The port that is first free at this moment, and afterwards. */
static inline int next_port(void)
{
	int fd = listener_on_next(), port = port_of(fd);
	close(fd);
	return port;
}

/* A socket that is bound to the next port, by its number. */
static inline int bound_to_next(const char *ip)
{
	return bound(ip, next_port());
}

/* Holds the next n ports by bound sockets; the first one's port. */
static inline int hold(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		fds[i] = bound_to_next("0.0.0.0");
	return n ? port_of(fds[0]) : 0;
}

static inline void close_all(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

static inline long milliseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether the next port comes to be `port`. lonet promises 50 ms for deaths that it did not see among many
 * ports; a busy machine takes longer. Says on the side how long it took. */
static inline int next_becomes(int port)
{
	long start = milliseconds();
	int got;
	do
		got = next_port();
	while (got != port && milliseconds() - start < 10000);
	printf("# next is %d, after %ld ms\n", got, milliseconds() - start);
	return got == port;
}

/* The address of a host, such as "β.lonet", as text in a buffer of its own. */
static inline const char *address_of(const char *host)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *all;
	if (getaddrinfo(host, NULL, &hints, &all))
		bail("getaddrinfo %s", host);
	char *out = malloc(INET_ADDRSTRLEN);
	inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)all->ai_addr)->sin_addr, out, INET_ADDRSTRLEN);
	freeaddrinfo(all);
	return out;
}

/* The address of the host itself. */
static inline const char *own_address(void)
{
	char name[256];
	if (gethostname(name, sizeof name))
		bail("gethostname");
	return address_of(name);
}

/* This program again, as another host, with these arguments and of all descriptors just these two (-1: none) beside
 * the standard ones; it does not outlive its parent. */
static inline pid_t spawn_host(const char *host, char *const arguments[], int keep, int keep_too)
{
	pid_t pid = fork();
	if (pid < 0)
		bail("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
		fcntl(keep, F_SETFD, 0);
		fcntl(keep_too, F_SETFD, 0);
		setenv("LONET_HOST", host, 1);
		execv("/proc/self/exe", arguments);
		_exit(127);
	}
	return pid;
}

/* One number through a pipe; -1: the other end is gone. */
static inline void tell_number(int fd, int number)
{
	if (write(fd, &number, sizeof number) != sizeof number)
		bail("tell_number");
}

static inline int hear_number(int fd)
{
	int number;
	return read(fd, &number, sizeof number) == sizeof number ? number : -1;
}

#endif
