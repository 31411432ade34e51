/* However a process ends, its ports are free when wait returns, also among many held ports. */
#include "lonet.h"
#include <pthread.h>

static void by_exit(void)
{
	exit(0);
}

static void by__exit(void)
{
	_exit(0);
}

static void by_sigkill(void)
{
	kill(getpid(), SIGKILL);
	pause();
}

static void by_sigterm(void)
{
	raise(SIGTERM);
}

static void by_abort(void)
{
	abort();
}

static void by_fault(void)
{
	raise(SIGSEGV);
}

static void *end_thread(void *arg)
{
	(void)arg;
	exit(0);
}

static void by_exit_of_a_thread(void)
{
	pthread_t thread;
	if (!pthread_create(&thread, NULL, end_thread, NULL))
		pthread_exit(NULL);
}

static const struct {
	const char *shown;
	void (*end)(void);
} ends[] = {
	{ "exit", by_exit },
	{ "_exit", by__exit },
	{ "SIGKILL", by_sigkill },
	{ "SIGTERM", by_sigterm },
	{ "abort", by_abort },
	{ "SIGSEGV", by_fault },
	{ "exit of a thread, after the main one", by_exit_of_a_thread },
};

/* Holds four ports in four ways, ends when told to. */
static void hold_and_end(int ready, int go, void (*end)(void))
{
	int ls = listener("0.0.0.0", 0), idle = bound_to_next("0.0.0.0"), fd = dial("127.0.0.1", port_of(ls));
	int accepted = take(ls);
	(void)accepted;
	(void)fd;
	/* A backlog that nobody will empty. */
	int waiting = dial("127.0.0.1", port_of(ls));
	(void)waiting;
	tell_number(ready, port_of(idle));
	if (hear(go))
		end();
	_exit(99);
}

int main(void)
{
	enum { HELD = 20 };
	static const int already[] = { 2, HELD };
	for (int many = 0; many < 2; many++) {
		int held[HELD], n = already[many];
		hold(held, n);
		for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
			int ready[2], go[2];
			make_pipe(ready);
			make_pipe(go);
			pid_t pid = fork_child();
			if (pid == 0) {
				prctl(PR_SET_DUMPABLE, 0); /* no core */
				signal(SIGSEGV, SIG_DFL);
				hold_and_end(ready[1], go[0], ends[i].end);
			}
			is_int(hear_number(ready[0]), n + 2, "%s: the second port of the child", ends[i].shown);
			int after = bound_to_next("0.0.0.0");
			if (port_of(after) != n + 5)
				bail("the child holds %d ports", port_of(after) - n - 1);
			say(go[1]);
			if (reap(pid) == 99)
				bail("the child did not end");
			is_int(next_port(), n + 1, "%s, with %d ports below: the next port is the child's first", ends[i].shown, n);
			int again[4];
			hold(again, 4);
			is_int(next_port(), n + 6, "%s: and its four are all that was free", ends[i].shown);
			close_all(again, 4);
			close(after);
			close_all(ready, 2);
			close_all(go, 2);
		}
		close_all(held, n);
	}
	return done();
}
