/* For connections in a backlog the dialer holds a port, and the listener's side none but the listener's. */
#include "lonet.h"

int main(void)
{
	int ls = listener("0.0.0.0", 0), callers[5];
	for (int i = 0; i < 5; i++)
		callers[i] = dial("127.0.0.1", 1);
	is_int(port_of(callers[4]), 6, "five callers have the five next ports");
	is_int(next_port(), 7, "their waiting connections have none");

	close(callers[1]);
	is_int(next_port(), 3, "a caller that closes before accept frees its port");
	reset_on_close(callers[3]);
	close(callers[3]);
	int again = bound_to_next("0.0.0.0");
	is_int(next_port(), 5, "one that resets, too");
	close(again);

	close(ls);
	is_int(next_port(), 1, "the listener closed: its port is free, whoever waits in its backlog");
	wait_for(callers[0], POLLIN | POLLHUP);
	ls = bound("0.0.0.0", 1);
	is_err(listen(ls, 5), 0, "and can be listened on again");
	is_int(next_port(), 2, "callers that were reset hold no port, though they are open");
	close(callers[0]);
	close(callers[2]);
	close(callers[4]);
	is_int(next_port(), 2, "nor when they are closed");
	callers[0] = dial("127.0.0.1", 1);
	is_str(sockname(callers[0]), "127.0.0.1:2", "the next caller gets the first free port");
	int accepted = take(ls);
	is_str(peername(accepted), "127.0.0.1:2", "and accept names it");
	close(callers[0]);
	close(accepted);

	/* The listener's process is killed with a full backlog. */
	close(ls);
	int told[2];
	make_pipe(told);
	pid_t pid = fork_child();
	if (pid == 0) {
		int dead = listener("0.0.0.0", 0), fds[3];
		for (int i = 0; i < 3; i++)
			fds[i] = dial("127.0.0.1", port_of(dead));
		tell_number(told[1], port_of(fds[2]));
		pause();
	}
	is_int(hear_number(told[0]), 4, "a process with a listener and three callers");
	int outside = dial("127.0.0.1", 1);
	is_int(port_of(outside), 5, "and one caller from outside");
	kill(pid, SIGKILL);
	reap(pid);
	is_int(next_port(), 1, "killed: its listener's port is free");
	wait_for(outside, POLLIN | POLLHUP);
	int held[5];
	hold(held, 5);
	is_int(port_of(held[4]), 5, "and its callers' and what was reset outside");
	close_all(held, 5);
	close(outside);
	return done();
}
