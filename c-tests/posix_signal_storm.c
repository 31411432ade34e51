/* A timer's signal interrupts every call, again and again, and its handler makes all calls that POSIX
 * allows in handlers: accept, bind, close, connect, dup2, getpeername, getsockname, getsockopt, listen,
 * recvfrom, recvmsg, sendmsg, sendto, setsockopt, shutdown, uname. The interrupted calls and the handler's
 * behave as they do alone, and the handler restores errno as POSIX asks. */
#include "net.h"
#include <sys/time.h>
#include <sys/utsname.h>

enum { STORM = 1500, PERIOD_US = 50 };

static volatile sig_atomic_t handled, failed_at;

#define must(cond) \
	do { if (!(cond)) { failed_at = __LINE__; goto out; } } while (0)

/* The next signal, after so many microseconds of whatever the handler interrupts: with an interval it would get no
 * further where the handler takes longer than that. */
static void storm(long microseconds)
{
	struct itimerval t = { { 0, 0 }, { 0, microseconds } };
	setitimer(ITIMER_REAL, &t, NULL);
}

static void handler(int sig)
{
	(void)sig;
	int errno_before = errno;
	int ls = -1, fd = -1, accepted = -1, copy = -1;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, b;
	struct sockaddr *pa = (struct sockaddr *)&a, *pb = (struct sockaddr *)&b;
	socklen_t len = sizeof a, len_b = sizeof b, len_one = sizeof(int);
	struct utsname u;
	int one = 1;
	char c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	handled++;
	must((ls = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && (fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	must(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
	must(bind(ls, pa, sizeof a) == 0 && listen(ls, 1) == 0 && getsockname(ls, pa, &len) == 0);
	must(getsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, &len_one) == 0 && one == 1);
	must(connect(fd, pa, sizeof a) == 0 && (accepted = accept(ls, pb, &len_b)) >= 0);
	len = sizeof a;
	must(getsockname(fd, pa, &len) == 0 && a.sin_port == b.sin_port);
	len = sizeof a;
	must(getpeername(accepted, pa, &len) == 0 && a.sin_port == b.sin_port);
	must(sendto(fd, &c, 1, MSG_NOSIGNAL, NULL, 0) == 1 && recvfrom(accepted, &c, 1, 0, NULL, NULL) == 1);
	must(sendmsg(accepted, &msg, MSG_NOSIGNAL) == 1 && recvmsg(fd, &msg, 0) == 1);
	must((copy = dup(fd)) >= 0 && dup2(accepted, copy) == copy);
	must(shutdown(fd, SHUT_RDWR) == 0 && uname(&u) == 0);
out:
	close(copy);
	close(accepted);
	reset_on_close(fd);
	close(fd);
	close(ls);
	storm(failed_at ? 0 : PERIOD_US);
	errno = errno_before;
}

int main(void)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	int rounds = 0, wrong = 0;
	/* SIGALRM is the storm's, so there is no watchdog but the suite's. */
	alarm(0);
	int ls = listener("127.0.0.1", 0), port = port_of(ls);
	sigaction(SIGALRM, &action, NULL);
	storm(PERIOD_US);
	while (handled < STORM && !failed_at) {
		int fd = tcp("127.0.0.1"), err;
		struct pollfd p = { fd, POLLOUT, 0 };
		socklen_t len = sizeof err;
		/* connect is not restarted: it goes on by itself. */
		int result = connect_to(fd, "127.0.0.1", port);
		if (result < 0 && errno == EINTR) {
			while (poll(&p, 1, -1) < 0)
				;
			result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err ? -1 : 0;
		}
		int accepted = accept(ls, NULL, NULL), own = tcp("127.0.0.1");
		wrong += result < 0 || accepted < 0 || strcmp(peername(accepted), sockname(fd)) ||
			 bind_to(own, "127.0.0.1", 0) < 0 || port_of(own) == port;
		errno = 4711;
		close(own);
		wrong += errno != 4711;
		reset_on_close(fd);
		close(fd);
		close(accepted);
		rounds++;
	}
	storm(0);
	is_int(failed_at, 0, "every call of the handler does what it does alone (else: its line)");
	is_int(wrong, 0, "and so do those that it interrupts");
	ok(handled >= STORM && rounds > 0, "the handler has run %d times", (int)handled);
	return done();
}
