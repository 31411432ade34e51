/* Signals interrupt every call, 10,000 times a second, by a handler without SA_RESTART: a call that fails with EINTR is made
 * again and then succeeds. No connection is lost or made twice, and names are right. */
#include "net.h"
#include <sys/time.h>

enum { STORM = 1500, ROUNDS = 50, PERIOD_US = 100 };

static volatile sig_atomic_t handled, calls, calls_before;
static volatile long period = PERIOD_US;

static void storm(long microseconds)
{
	struct itimerval t = { { 0, 0 }, { 0, microseconds } };
	setitimer(ITIMER_REAL, &t, NULL);
}

/* The next signal comes later if no call has succeeded since the last one: on a busy machine each takes longer than that. */
static void handler(int sig)
{
	(void)sig;
	handled++;
	period = calls == calls_before && period < 100000 ? 2 * period : PERIOD_US;
	calls_before = calls;
	storm(period);
}

/* The result of a call that is made until it does not fail with EINTR. */
#define again(call)                                              \
	({                                                       \
		long result_;                                    \
		while ((result_ = (call)) < 0 && errno == EINTR) \
			;                                        \
		calls++;                                         \
		result_;                                         \
	})

static const char *name_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
	union sa a;
	socklen_t len;
	return again((len = sizeof a, get(fd, &a.any, &len))) ? tap_errno(errno) : text(&a);
}

/* Whether a socket is connected. One whose connect was interrupted goes on, and may be connected when it is called again. */
static int gets_through(int fd, const union sa *to)
{
	return again(connect(fd, &to->any, len_of(to))) == 0 || errno == EISCONN;
}

int main(void)
{
	struct sigaction action = { .sa_handler = handler };
	int dialed = 0, accepted = 0, named = 0, heard = 0, listening = 0, rounds = 0;
	/* SIGALRM is the storm's, so there is no watchdog but the suite's. */
	alarm(0);
	int ls = listener("127.0.0.1", 0);
	union sa to = at("127.0.0.1", port_of(ls)), any = at("127.0.0.1", 0);
	sigaction(SIGALRM, &action, NULL);
	storm(PERIOD_US);
	while (handled < STORM || rounds < ROUNDS) {
		int fd = tcp("127.0.0.1"), own = tcp("127.0.0.1"), a = -1;
		union sa from = { 0 };
		socklen_t len;
		char c = 0;
		rounds++;
		if (!gets_through(fd, &to))
			break;
		dialed++;
		accepted += (a = (int)again((len = sizeof from, accept(ls, &from.any, &len)))) >= 0;
		named += !strcmp(text(&from), name_of(fd, getsockname)) && !strcmp(name_of(fd, getpeername), name_of(a, getsockname));
		heard += again(send(fd, "x", 1, MSG_NOSIGNAL)) == 1 && again(recv(a, &c, 1, 0)) == 1 && c == 'x';
		listening += again(bind(own, &any.any, len_of(&any))) == 0 && again(listen(own, 1)) == 0;
		close(own);
		reset_on_close(fd);
		close(fd);
		close(a);
	}
	storm(0);
	is_int(dialed, rounds, "each connect gets through");
	is_int(accepted, rounds, "each accept takes its connection");
	is_int(named, rounds, "both ends are named");
	is_int(heard, rounds, "each carries bytes");
	is_int(listening, rounds, "each bind and listen succeeds");
	is_int(ready(ls, POLLIN), 0, "no other connection was made");
	ok(handled >= STORM, "under signals");
	return done();
}
