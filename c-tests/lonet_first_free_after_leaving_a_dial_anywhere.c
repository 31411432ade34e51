/* A signal handler jumps out of connect between any two of its steps: once the socket is closed or dials
 * again, the abandoned dial holds no port. */
#include "lonet.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

enum { ROUNDS = 2000, LONGEST = 60 /* microseconds */ };

static sigjmp_buf back;
static volatile sig_atomic_t left;

static void jump(int sig)
{
	(void)sig;
	left++;
	siglongjmp(back, 1);
}

/* Dials the server, and leaves the dial when its time is over, if it has not returned. */
static void dial_for(int fd, int server, int microseconds)
{
	struct itimerval time = { { 0, 0 }, { 0, microseconds } }, never = { { 0, 0 }, { 0, 0 } };
	if (sigsetjmp(back, 1) == 0) {
		setitimer(ITIMER_REAL, &time, NULL);
		connect_to(fd, "127.0.0.1", port_of(server));
	}
	setitimer(ITIMER_REAL, &never, NULL);
}

static void accept_all(int server)
{
	int fd;
	while ((fd = accept(server, NULL, NULL)) >= 0)
		close(fd);
}

/* The port of a dial, which goes again. */
static int port_of_a_dial(int server)
{
	int fd = dial("127.0.0.1", port_of(server)), port = port_of(fd);
	close(fd);
	accept_all(server);
	return port;
}

int main(void)
{
	int server = listener("127.0.0.1", 0); /* 1 */
	fcntl(server, F_SETFL, O_NONBLOCK);
	is_int(port_of_a_dial(server), 2, "a dial has the first free port");
	signal(SIGALRM, jump);
	int good = 0;
	for (int i = 0; i < ROUNDS; i++) {
		int fd = tcp("127.0.0.1");
		dial_for(fd, server, 1 + i % LONGEST);
		close(fd);
		accept_all(server);
		good += port_of_a_dial(server) == 2;
	}
	is_int(good, ROUNDS, "so it has after dials that were left and closed");
	for (int i = good = 0; i < ROUNDS; i++) {
		int fd = tcp("127.0.0.1");
		dial_for(fd, server, 1 + i % LONGEST);
		connect_to(fd, "127.0.0.1", port_of(server));
		good += port_of(fd) == 2;
		close(fd);
		accept_all(server);
	}
	is_int(good, ROUNDS, "a dial that was left goes on, or again, with the first free port");
	ok(left > ROUNDS / 10, "%d of %d dials were left", (int)left, 2 * ROUNDS);
	return done();
}
