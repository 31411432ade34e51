/* A thread that is cancelled in, or jumps out of, a blocking connect or accept leaves nothing behind but
 * its socket. */
#include "lonet.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>

enum { ROUNDS = 10 };

static int full, server;
static int dialing = -1;

/* --------------------------------------------------------------------------------------------- cancellation */

static void *connect_forever(void *arg)
{
	(void)arg;
	connect_to(dialing, "127.0.0.1", port_of(full));
	return NULL;
}

static void *accept_forever(void *arg)
{
	(void)arg;
	accept(server, NULL, NULL);
	return NULL;
}

/* Cancels a thread once its connect is under way in the kernel. */
static void cancel_connect(void)
{
	pthread_t thread;
	void *result;
	if (pthread_create(&thread, NULL, connect_forever, NULL))
		bail("pthread_create");
	wait_for_state(dialing, TCP_SYN_SENT);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	if (result != PTHREAD_CANCELED)
		bail("connect was not cancelled");
}

/* ------------------------------------------------------------------------------------------------- siglongjmp */

static sigjmp_buf back;

static void jump(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void jump_out_of_connect(void)
{
	/* The signal comes again until it finds the dial under way. */
	struct itimerval soon = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	do {
		if (sigsetjmp(back, 1) == 0) {
			setitimer(ITIMER_REAL, &soon, NULL);
			connect_to(dialing, "127.0.0.1", port_of(full));
		}
		setitimer(ITIMER_REAL, &never, NULL);
	} while (tcp_state(dialing) != TCP_SYN_SENT);
}

static void jump_out_of_accept(void)
{
	struct itimerval soon = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	if (sigsetjmp(back, 1) == 0) {
		setitimer(ITIMER_REAL, &soon, NULL);
		accept(server, NULL, NULL);
		bail("accept returned");
	}
	setitimer(ITIMER_REAL, &never, NULL);
}

int main(void)
{
	server = listener("127.0.0.1", 0); /* 1 */
	full = bound_to_next("127.0.0.1"); /* 2 */
	listen(full, 0);
	int filler = dial("127.0.0.1", port_of(full)); /* 3 */

	int good = 0;
	for (int i = 0; i < ROUNDS; i++) {
		dialing = tcp("127.0.0.1");
		cancel_connect();
		good += next_port() == 5;
		close(dialing);
		good += next_port() == 4;
	}
	is_int(good, 2 * ROUNDS, "a dial that its thread was cancelled out of holds its port until it is closed");

	for (int i = good = 0; i < ROUNDS; i++) {
		pthread_t thread;
		void *result;
		if (pthread_create(&thread, NULL, accept_forever, NULL))
			bail("pthread_create");
		pthread_cancel(thread);
		pthread_join(thread, &result);
		good += next_port() == 4;
		int fd = dial("127.0.0.1", port_of(server)), accepted = take(server);
		good += !strcmp(peername(accepted), "127.0.0.1:4");
		close(fd);
		close(accepted);
		good += next_port() == 4;
	}
	is_int(good, 3 * ROUNDS, "a cancelled accept holds nothing, and others accept");

	signal(SIGALRM, jump);
	for (int i = good = 0; i < ROUNDS; i++) {
		dialing = tcp("127.0.0.1");
		jump_out_of_connect();
		good += next_port() == 5;
		close(dialing);
		good += next_port() == 4;
	}
	is_int(good, 2 * ROUNDS, "a dial that a signal handler jumped out of holds its port until it is closed");

	for (int i = good = 0; i < ROUNDS; i++) {
		jump_out_of_accept();
		good += next_port() == 4;
		int fd = dial("127.0.0.1", port_of(server)), accepted = take(server);
		good += !strcmp(peername(accepted), "127.0.0.1:4");
		close(fd);
		close(accepted);
		good += next_port() == 4;
	}
	is_int(good, 3 * ROUNDS, "an accept that a signal handler jumped out of holds nothing, and others accept");
	tap_watchdog();

	/* A dial that goes on after its thread has left it. */
	dialing = tcp("127.0.0.1");
	cancel_connect();
	int accepted = take(full);
	wait_for(dialing, POLLOUT);
	is_int(tcp_state(dialing), TCP_ESTABLISHED, "a dial that its thread left comes through");
	is_str(sockname(dialing), "127.0.0.1:4", "and has its port");
	is_str(peername(dialing), name("127.0.0.1", port_of(full)), "and its peer");
	int second = take(full);
	is_str(peername(second), "127.0.0.1:4", "which names it");
	ok(passes(dialing, second), "bytes pass");
	is_int(next_port(), 5, "the next port");
	close(dialing);
	is_int(next_port(), 4, "is its own when it has been closed");
	close(second);
	close(accepted);

	/* Left by its thread and closed where no hook sees it. */
	filler = dial("127.0.0.1", port_of(full));
	dialing = tcp("127.0.0.1");
	cancel_connect();
	fclose(fdopen(dialing, "r+"));
	ok(next_becomes(5), "a dial that its thread left holds nothing soon after fclose");
	close(filler);
	return done();
}
