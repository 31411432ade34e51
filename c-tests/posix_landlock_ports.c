/* Landlock rules for TCP ports: what they allow works, and bind and connect fail with EACCES for all else,
 * in both families. Port numbers in rules are those that the program uses. */
#include "net.h"
#include "waiting.h"
#include <sys/syscall.h>

/* As in linux/landlock.h, which older headers do not have with the network. */
struct ruleset {
	unsigned long long files, network;
};
struct rule {
	unsigned long long access, port;
};
enum { BIND = 1, CONNECT = 2, RULE_PORT = 2 };

/* From here on this process may bind and connect to these two ports alone; 0 if the kernel cannot do that. */
static int allow(int one, int two)
{
	struct ruleset handled = { 0, BIND | CONNECT };
	int fd = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	if (fd < 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		struct rule rule = { BIND | CONNECT, (unsigned long long)(i ? two : one) };
		if (syscall(SYS_landlock_add_rule, fd, RULE_PORT, &rule, 0) < 0)
			bail("landlock_add_rule");
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		bail("landlock_restrict_self");
	close(fd);
	return 1;
}

/* The error of a non-blocking connect, at once or later. */
static int refusal(const char *ip, int port)
{
	int fd = tcp_flags(ip, SOCK_NONBLOCK), err = connect_to(fd, ip, port) < 0 ? errno : 0;
	if (err == EINPROGRESS) {
		wait_for(fd, POLLOUT);
		err = get_opt(fd, SOL_SOCKET, SO_ERROR);
	}
	close(fd);
	return err;
}

enum { TICKS = 20 };
static int full, accepted = -1;

/* Makes room in the backlog at last. */
static void count_and_accept(int sig)
{
	int saved = errno;
	(void)sig;
	ticks = ticks + 1;
	if (ticks == TICKS)
		accepted = accept(full, NULL, NULL);
	errno = saved;
}

/* A blocking dial to a port that is allowed waits where the backlog is full, until a signal comes or its time is over. */
static void waits(const char *ip, int port)
{
	enum { MOST = 16 };
	int fds[MOST], n = 0, err = 0;
	struct timeval t;
	socklen_t len = sizeof t;
	full = bound(ip, port);
	if (listen(full, 0) < 0)
		bail("listen");
	while (n < MOST && err == 0) {
		fds[n] = patient(ip, 20);
		err = connect_to(fds[n], ip, port) < 0 ? errno : 0;
		n++;
	}
	int late = fds[n - 1];
	is_int(err, EINPROGRESS, "%s: the backlog is full, the time is over", ip);
	ok(n > 1, "%s: but the first dial was in time", ip);
	is_err(connect_to(late, ip, port), EALREADY, "%s: connect meanwhile", ip);
	getsockopt(late, SOL_SOCKET, SO_SNDTIMEO, &t, &len);
	ok(t.tv_sec == 0 && t.tv_usec >= 20000 && t.tv_usec < 40000, "%s: SO_SNDTIMEO is as it was set", ip);
	close(late);

	int fd = tcp(ip);
	timer_t timer = ticking(count, 0);
	err = connect_to(fd, ip, port) < 0 ? errno : 0;
	timer_delete(timer);
	is_int(err, EINTR, "%s: a signal ends the wait", ip);
	is_str(peername(fd), "ENOTCONN", "%s: the dial goes on", ip);
	close(fd);

	fd = tcp(ip);
	timer = ticking(count_and_accept, SA_RESTART);
	err = connect_to(fd, ip, port) < 0 ? errno : 0;
	timer_delete(timer);
	is_int(err, 0, "%s: with SA_RESTART connect goes on until there is room", ip);
	ok(accepted >= 0 && ticks >= TICKS, "%s: which a handler has made", ip);
	is_str(peername(fd), name(ip, port), "%s: it is connected", ip);
	close(fd);
	for (int i = 0; i < n - 1; i++)
		close(fds[i]);
	close(accepted);
	close(full);
}

/* `taken` and `idle` are allowed, and somebody listens on the one; as on `secret`, which is not, nor is `other`. */
static void in_sandbox(const char *ip, int taken, int idle, int secret, int other)
{
	is_int(dial_error(ip, secret), EACCES, "%s: connect to a port that is not allowed", ip);
	is_int(dial_error(ip, other), EACCES, "%s: connect to one that is not allowed, and where nobody listens", ip);
	is_int(dial_error(ip, idle), ECONNREFUSED, "%s: connect to one that is allowed, and where nobody listens", ip);
	is_int(refusal(ip, idle), ECONNREFUSED, "%s: the same, non-blocking", ip);
	int d = dial(ip, taken);
	is_str(peername(d), name(ip, taken), "%s: connect to one that is allowed: the peer's name", ip);
	close(d);

	int ls = tcp(ip), listens = tcp(ip);
	is_err(bind_to(ls, ip, secret), EACCES, "%s: bind to a port that is not allowed, and taken", ip);
	is_err(bind_to(ls, ip, other), EACCES, "%s: bind to one that is not allowed", ip);
	is_err(bind_to(ls, ip, 0), EACCES, "%s: bind to port 0, which is not allowed", ip);
	is_err(bind_to(ls, ip, taken), EADDRINUSE, "%s: bind to one that is allowed, and taken", ip);
	is_err(bind_to(ls, ip, idle), 0, "%s: bind to one that is allowed", ip);
	is_str(sockname(ls), name(ip, idle), "%s: its name", ip);
	is_err(listen(ls, 1), 0, "%s: listen there", ip);
	d = dial(ip, idle);
	int a = take(ls);
	is_str(peername(a), sockname(d), "%s: who is accepted is who dials", ip);
	ok(passes(d, a), "%s: bytes pass", ip);
	is_err(listen(listens, 1), 0, "%s: listen without a port", ip);
	close(listens);
	close(ls);
	close(d);
	close(a);
	waits(ip, idle);
}

int main(void)
{
	int v4 = listener("127.0.0.1", 0), v6 = tcp("::1"), taken = port_of(v4), secret = own_port();
	int idle = own_port(), other = own_port();
	set_opt(v6, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind_to(v6, "::1", taken) < 0 || listen(v6, 8) < 0)
		bail("listen on [::1]");
	listener("127.0.0.1", secret);
	listener("::1", secret);
	if (!allow(taken, idle)) {
		printf("ok 1 # SKIP this kernel has no Landlock for TCP ports\n1..1\n");
		return 0;
	}
	in_sandbox("127.0.0.1", taken, idle, secret, other);
	in_sandbox("::1", taken, idle, secret, other);
	return done();
}
