/* net.h - sockets for the tests: small helpers that bail when what they do is not what is tested.
 *
 * Addresses are written as text and a port: ("127.0.0.1", 80), ("::1", 80), ("::ffff:127.0.0.1", 80). A colon
 * in the text means AF_INET6. Names of sockets are compared as text: "127.0.0.1:80", "[::1]:80".
 *
 * Ports: ask for 0 and read the port back, or own_port() where the test must bind an explicit one. No range
 * is ever assumed for what 0 gives.
 */
#ifndef NET_H
#define NET_H

#include "tap.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

union sa {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage room;
};

static inline int family_of(const char *ip)
{
	return strchr(ip, ':') ? AF_INET6 : AF_INET;
}

static inline union sa at(const char *ip, int port)
{
	union sa a;
	memset(&a, 0, sizeof a);
	a.any.sa_family = (sa_family_t)family_of(ip);
	a.v4.sin_port = htons((in_port_t)port); /* sin6_port is at the same place */
	void *to = family_of(ip) == AF_INET ? (void *)&a.v4.sin_addr : (void *)&a.v6.sin6_addr;
	if (inet_pton(family_of(ip), ip, to) != 1)
		bail("%s is no address", ip);
	return a;
}

static inline socklen_t len_of(const union sa *a)
{
	return a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

/* Text of an address, in one of 64 buffers that are used in turn. */
static inline const char *text(const union sa *a)
{
	static char ring[64][80];
	static unsigned turn;
	char *out = ring[turn++ % 64], ip[INET6_ADDRSTRLEN] = "?";
	if (a->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
		snprintf(out, 80, "%s:%d", ip, ntohs(a->v4.sin_port));
	} else if (a->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
		snprintf(out, 80, "[%s]:%d", ip, ntohs(a->v6.sin6_port));
	} else {
		snprintf(out, 80, "family %d", a->any.sa_family);
	}
	return out;
}

/* Text of ip and port, as sockname and peername would write it. */
static inline const char *name(const char *ip, int port)
{
	union sa a = at(ip, port);
	return text(&a);
}

/* What getsockname and getpeername say: an address, or the name of the error. */
static inline const char *sockname(int fd)
{
	union sa a;
	socklen_t len = sizeof a;
	return getsockname(fd, &a.any, &len) < 0 ? tap_errno(errno) : text(&a);
}

static inline const char *peername(int fd)
{
	union sa a;
	socklen_t len = sizeof a;
	return getpeername(fd, &a.any, &len) < 0 ? tap_errno(errno) : text(&a);
}

static inline int port_of(int fd)
{
	union sa a;
	socklen_t len = sizeof a;
	if (getsockname(fd, &a.any, &len) < 0)
		bail("getsockname");
	return ntohs(a.v4.sin_port);
}

/* A TCP socket of the family that ip has; flags as socket(2)'s SOCK_NONBLOCK. */
static inline int tcp_flags(const char *ip, int flags)
{
	int fd = socket(family_of(ip), SOCK_STREAM | flags, 0);
	if (fd < 0)
		bail("socket");
	return fd;
}

static inline int tcp(const char *ip)
{
	return tcp_flags(ip, 0);
}

static inline void set_opt(int fd, int level, int opt, int value)
{
	if (setsockopt(fd, level, opt, &value, sizeof value) < 0)
		bail("setsockopt %d %d", level, opt);
}

static inline int get_opt(int fd, int level, int opt)
{
	int value = -1;
	socklen_t len = sizeof value;
	if (getsockopt(fd, level, opt, &value, &len) < 0)
		bail("getsockopt %d %d", level, opt);
	return value;
}

/* close will send a reset and leave no TIME_WAIT behind. */
static inline void reset_on_close(int fd)
{
	struct linger now = { 1, 0 };
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) < 0)
		bail("SO_LINGER");
}

/* The state of a TCP socket: TCP_ESTABLISHED and so on. */
static inline int tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof info;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		bail("TCP_INFO");
	return info.tcpi_state;
}

/* For what poll has no event for; the watchdog bounds it. */
static inline void wait_for_state(int fd, int state)
{
	while (tcp_state(fd) != state)
		sched_yield();
}

/* Plain calls with an address in text: 0, or -1 and errno. */
static inline int bind_to(int fd, const char *ip, int port)
{
	union sa a = at(ip, port);
	return bind(fd, &a.any, len_of(&a));
}

static inline int connect_to(int fd, const char *ip, int port)
{
	union sa a = at(ip, port);
	return connect(fd, &a.any, len_of(&a));
}

/* A socket bound to ip and port, SO_REUSEADDR not set. */
static inline int bound(const char *ip, int port)
{
	int fd = tcp(ip);
	if (bind_to(fd, ip, port) < 0)
		bail("bind %s", name(ip, port));
	return fd;
}

static inline int listener(const char *ip, int port)
{
	int fd = bound(ip, port);
	if (listen(fd, 64) < 0)
		bail("listen on %s", name(ip, port));
	return fd;
}

static inline int dial(const char *ip, int port)
{
	int fd = tcp(ip);
	if (connect_to(fd, ip, port) < 0)
		bail("connect to %s", name(ip, port));
	return fd;
}

static inline int take(int listening)
{
	int fd = accept(listening, NULL, NULL);
	if (fd < 0)
		bail("accept");
	return fd;
}

/* errno of a fresh socket's connect; 0 when it gets through. */
static inline int dial_error(const char *ip, int port)
{
	int fd = tcp(ip), err = connect_to(fd, ip, port) < 0 ? errno : 0;
	close(fd);
	return err;
}

/* Both directions carry bytes. */
static inline int passes(int a, int b)
{
	char got[4];
	return send(a, "ping", 4, MSG_NOSIGNAL) == 4 && recv(b, got, 4, MSG_WAITALL) == 4 && !memcmp(got, "ping", 4) &&
	       send(b, "pong", 4, MSG_NOSIGNAL) == 4 && recv(a, got, 4, MSG_WAITALL) == 4 && !memcmp(got, "pong", 4);
}

/* Waits, as long as the watchdog lets it, for any of the events; what poll then says. */
static inline int wait_for(int fd, int events)
{
	struct pollfd p = { fd, (short)events, 0 };
	if (poll(&p, 1, -1) < 0)
		bail("poll");
	return p.revents;
}

/* What poll says at once, without waiting. */
static inline int ready(int fd, int events)
{
	struct pollfd p = { fd, (short)events, 0 };
	if (poll(&p, 1, 0) < 0)
		bail("poll");
	return p.revents;
}

/* A port above 1024 and below the usual ephemeral range, free in both families; each call gives another. Every
 * process has 16 of its own, so that copies of a test do not meet on a machine that they share. */
static inline int own_port(void)
{
	static int calls;
	for (int tries = 0; tries < 160; tries++) {
		int process = getpid() + tries / 16 * 125;
		int port = 10000 + (process * 16 + calls++ % 16) % 20000, fd = tcp("::");
		int free_port = bind_to(fd, "::", port) == 0 && listen(fd, 1) == 0;
		close(fd);
		if (free_port)
			return port;
	}
	bail("no free port");
}

/* fork, with a watchdog in the child, which does not outlive its parent. The child ends with _exit. */
static inline pid_t fork_child(void)
{
	pid_t pid = fork();
	if (pid < 0)
		bail("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		tap_watchdog();
	}
	return pid;
}

/* A child's exit code, or 1000 plus the signal that ended it. */
static inline int reap(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, 0) != pid)
		bail("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* What a server goes on to do: it takes a caller and tells it its name, and binds, listens, dials and accepts anew. 0, or
 * a number that says what went wrong. */
static inline int goes_on(int ls)
{
	int fd = take(ls);
	const char *who = peername(fd);
	if (send(fd, who, strlen(who) + 1, MSG_NOSIGNAL) < 0)
		return 12;
	int own = tcp("127.0.0.1"), d = tcp("127.0.0.1");
	if (bind_to(own, "127.0.0.1", 0) < 0 || listen(own, 1) < 0)
		return 13;
	if (connect_to(d, "127.0.0.1", port_of(own)) < 0)
		return 14;
	int a = accept(own, NULL, NULL);
	if (a < 0 || strcmp(peername(a), sockname(d)) || !passes(a, d))
		return 15;
	close(own);
	close(d);
	close(a);
	return 0;
}

/* One byte through a pipe or socket: say wakes hear; hear is 0 when the other end is gone. */
static inline void make_pipe(int ends[2])
{
	if (pipe(ends) < 0)
		bail("pipe");
}

static inline void say(int fd)
{
	if (write(fd, "!", 1) != 1)
		bail("say");
}

static inline int hear(int fd)
{
	char c;
	return read(fd, &c, 1) == 1;
}

#endif
