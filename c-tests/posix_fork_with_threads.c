/* Threads use sockets without a pause while the main thread forks 500 times. Each child uses sockets too,
 * and none hangs: no child needs a lock that a thread held at the fork. */
#include "net.h"
#include <pthread.h>
#include <stdatomic.h>

enum { FORKS = 500, THREADS = 3, CHILD_SECONDS = 20 };

static int ls, port;
static atomic_int over, rounds;

static void *busy(void *unused)
{
	(void)unused;
	while (!over) {
		int fd = socket(AF_INET, SOCK_STREAM, 0), own = socket(AF_INET, SOCK_STREAM, 0);
		union sa a = at("127.0.0.1", 0);
		socklen_t len = sizeof a;
		if (bind(own, &a.any, len_of(&a)) == 0 && getsockname(own, &a.any, &len) == 0)
			rounds++;
		connect(fd, &a.any, len_of(&a));
		close(fd);
		close(own);
	}
	return NULL;
}

/* What a server's child does: it takes, dials, closes. */
static int child(void)
{
	signal(SIGALRM, SIG_DFL);
	alarm(CHILD_SECONDS);
	int fd = tcp("127.0.0.1");
	if (connect_to(fd, "127.0.0.1", port) < 0)
		return 1;
	int accepted = accept(ls, NULL, NULL);
	if (accepted < 0 || strcmp(peername(accepted), sockname(fd)))
		return 2;
	reset_on_close(fd);
	close(fd);
	close(accepted);
	return 0;
}

int main(void)
{
	pthread_t threads[THREADS];
	int hung = 0, wrong = 0;
	ls = listener("127.0.0.1", 0);
	port = port_of(ls);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, busy, NULL))
			bail("pthread_create");
	while (!rounds)
		sched_yield();
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		if (pid < 0)
			bail("fork");
		if (pid == 0)
			_exit(child());
		int end = reap(pid);
		hung += end == 1000 + SIGALRM;
		wrong += end != 0 && end != 1000 + SIGALRM;
	}
	over = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	is_int(hung, 0, "none of %d children hangs", FORKS);
	is_int(wrong, 0, "and each gets through");
	ok(rounds > 0, "the threads were busy");
	return done();
}
