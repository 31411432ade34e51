/* A signal during accept: EINTR without SA_RESTART; with it accept goes on, and the handler may use
 * sockets. */
#include "net.h"
#include "waiting.h"

enum { TICKS = 5 };
static volatile sig_atomic_t handler_errors;
static int serving_port, dialed = -1;

/* Every call here is async-signal-safe. The dial ends the accept that is interrupted. */
static void dial_at_last(int sig)
{
	int saved = errno;
	(void)sig;
	ticks = ticks + 1;
	if (ticks == TICKS) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((in_port_t)serving_port) }, own;
		socklen_t len = sizeof own;
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		int ls = socket(AF_INET, SOCK_STREAM, 0);
		if (listen(ls, 1) < 0 || getsockname(ls, (struct sockaddr *)&own, &len) < 0 || close(ls) < 0)
			handler_errors = 1;
		dialed = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(dialed, (struct sockaddr *)&to, sizeof to) < 0)
			handler_errors = errno;
	}
	errno = saved;
}

int main(void)
{
	int ls = listener("127.0.0.1", 0), accepted, err;
	serving_port = port_of(ls);

	timer_t timer = ticking(count, 0);
	accepted = accept(ls, NULL, NULL);
	err = errno;
	timer_delete(timer);
	is_int(accepted, -1, "without SA_RESTART accept is interrupted");
	is_int(err, EINTR, "and says so");

	struct pollfd p = { ls, POLLIN, 0 };
	timer = ticking(count, SA_RESTART);
	int got = poll(&p, 1, -1);
	err = errno;
	timer_delete(timer);
	is_int(got, -1, "poll is interrupted with SA_RESTART, too");
	is_int(err, EINTR, "and says so");

	union sa from;
	socklen_t len = sizeof from;
	timer = ticking(dial_at_last, SA_RESTART);
	accepted = accept(ls, &from.any, &len);
	timer_delete(timer);
	ok(accepted >= 0, "with SA_RESTART accept goes on");
	ok(ticks >= TICKS, "after signals (%d)", (int)ticks);
	is_int(handler_errors, 0, "sockets work in a signal handler");
	is_str(text(&from), sockname(dialed), "accept names the dial of the handler");
	ok(passes(dialed, accepted), "which carries bytes");

	/* A storm of signals over whole connections. */
	int rounds = 0;
	timer = ticking(count, SA_RESTART);
	while (ticks < 20) {
		int fd = dial("127.0.0.1", serving_port), a = take(ls);
		if (strcmp(peername(a), sockname(fd)) || strcmp(sockname(a), peername(fd)))
			bail("names differ");
		reset_on_close(fd);
		close(fd);
		close(a);
		rounds++;
	}
	timer_delete(timer);
	ok(rounds > 0, "connections come and go under signals");
	return done();
}
