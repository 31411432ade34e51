/* exec frees the ports of sockets that are close-on-exec, and no others. */
#include "lonet.h"

enum { HELD = 3 };

/* The program after exec: what it says, and to whom, is in its arguments. */
static int after_exec(char **argv)
{
	int ready = atoi(argv[2]), go = atoi(argv[3]), kept = atoi(argv[4]);
	int late = bound_to_next("0.0.0.0");
	tell_number(ready, port_of(late));
	tell_number(ready, port_of(kept));
	hear(go);
	close(kept);
	tell_number(ready, next_port());
	hear(go);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return after_exec(argv);
	int held[HELD], ready[2], go[2];
	hold(held, HELD);
	make_pipe(ready);
	make_pipe(go);
	pid_t pid = fork_child();
	if (pid == 0) {
		int gone[2], kept;
		for (int i = 0; i < 2; i++) {
			gone[i] = listener("0.0.0.0", 0);
			fcntl(gone[i], F_SETFD, FD_CLOEXEC);
		}
		kept = listener("0.0.0.0", 0);
		char r[12], g[12], k[12];
		snprintf(r, sizeof r, "%d", ready[1]);
		snprintf(g, sizeof g, "%d", go[0]);
		snprintf(k, sizeof k, "%d", kept);
		execl("/proc/self/exe", argv[0], "after", r, g, k, NULL);
		_exit(127);
	}
	is_int(hear_number(ready[0]), HELD + 1, "the first port that exec has closed is next");
	is_int(hear_number(ready[0]), HELD + 3, "what was not close-on-exec keeps its port and its name");
	is_int(next_port(), HELD + 2, "the second one is next for another process");
	say(go[1]);
	is_int(hear_number(ready[0]), HELD + 2, "and again when the inherited one has been closed");
	int again[2];
	hold(again, 2);
	is_int(port_of(again[1]), HELD + 3, "whose port follows");
	say(go[1]);
	if (reap(pid))
		bail("the program after exec");
	return done();
}
