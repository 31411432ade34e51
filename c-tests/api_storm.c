/* Threads make, use and close hosts at once, while others dial, accept and query on those that are being
 * closed, and signals arrive constantly: every call ends with success or with an error that lonet.h
 * documents, nothing hangs, and no descriptor or port is left. */
#include "api.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { ROUNDS = 25, USERS = 4 };

static lonet_net *net;
static lonet_host *_Atomic shared;
static int _Atomic shared_listener = -1;
static int _Atomic over;
static const char *_Atomic odd;
static timer_t timer;

static void check(long result, const char *what, const int *allowed)
{
	if (result >= 0)
		return;
	while (*allowed)
		if (*allowed++ == errno)
			return;
	char text[2000];
	snprintf(text, sizeof text, "%s: %s (%s)", what, lonet_errmsg(), tap_errno(errno));
	if (!odd)
		odd = strdup(text);
}

#define CHECK(what, result, ...) check((result), what, (const int[]){ EHOSTDOWN, ENETDOWN, EINTR, __VA_ARGS__ 0 })

/* The next signal comes two milliseconds after the last one was dealt with: where calls take longer than that (a machine with
 * a hundred thousand connections in TIME_WAIT) nothing else would get its turn. */
static void set_timer(void)
{
	struct itimerspec once = { { 0, 0 }, { 0, 2000000 } };
	timer_settime(timer, 0, &once, NULL);
}

/* Calls of an async-signal-safe kind, whatever the thread is doing. */
static void on_signal(int sig)
{
	(void)sig;
	int saved = errno;
	struct lonet_addr a;
	lonet_addr_parse("α:1", &a);
	int fd = lonet_dial_start(shared, ":700");
	if (fd >= 0)
		close(fd);
	if (!over)
		set_timer();
	errno = saved;
}

static void *uses(void *arg)
{
	(void)arg;
	while (!over) {
		lonet_host *h = shared;
		struct lonet_addr l, p;
		int d = lonet_dial(h, ":700", 50);
		CHECK("dial", d, ECONNREFUSED, ETIMEDOUT, ECONNRESET, EHOSTUNREACH, );
		if (d >= 0) {
			CHECK("local", lonet_local_addr(d, &l), 0, );
			CHECK("peer", lonet_peer_addr(d, &p), ENOTCONN, );
			close(d);
		}
		d = lonet_listen(h, "", 8);
		CHECK("autobind", d, 0, );
		if (d >= 0)
			close(d);
	}
	return NULL;
}

static void *accepts(void *arg)
{
	(void)arg;
	while (!over) {
		struct lonet_addr l, p;
		int lfd = shared_listener, fd = lonet_accept(lfd, 0, &l, &p);
		/* The descriptor may be another thread's by now, of whatever kind. */
		CHECK("accept", fd, EBADF, ENOTSOCK, EINVAL, EAGAIN, ECONNABORTED, );
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

int main(void)
{
	pthread_t users[USERS], acceptors[2];
	net = joined(NULL);
	int free_fd = lowest_free();
	shared = host(net, "α", 0);
	signal(SIGUSR1, on_signal);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		bail("timer");
	set_timer();
	for (int i = 0; i < USERS; i++)
		pthread_create(&users[i], NULL, uses, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&acceptors[i], NULL, accepts, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		int l = lonet_listen(shared, ":700", 64);
		CHECK("listen", l, 0, );
		shared_listener = l;
		for (int n = 0; n < 8; n++) {
			int d = lonet_dial(shared, ":700", 1000);
			CHECK("dial to the listener", d, ETIMEDOUT, ECONNRESET, );
			if (d >= 0)
				close(d);
		}
		CHECK("close", lonet_host_close(shared), 0, );
		close(l);
		lonet_host *next = NULL;
		CHECK("host", lonet_host_new(net, "α", 0, &next), EEXIST, );
		if (next)
			shared = next;
		tap_watchdog();
	}
	over = 1;
	int last = lonet_listen(shared, ":700", 64);
	shared_listener = last;
	for (int i = 0; i < USERS; i++)
		pthread_join(users[i], NULL);
	is_err(lonet_leave(net), 0, "leaving ends whoever still accepts");
	/* One may wait on a listener that another thread has closed: the signal makes the kernel look at the descriptor anew. */
	for (int i = 0; i < 2; i++)
		while (pthread_tryjoin_np(acceptors[i], NULL) == EBUSY)
			pthread_kill(acceptors[i], SIGUSR1);
	timer_delete(timer);
	close(last);
	is_str(odd ? odd : "", "", "no error that the header does not name");
	is_int(lowest_free(), free_fd, "no descriptor is left");
	return done();
}
