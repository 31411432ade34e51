/* rcmd and rexec reach hosts by name, which see their peer's lonet ports; the name of no host is reported
 * as unknown. */
#include "hosts.h"
#include "lonet.h"
#include "remote.h"

/* In a child, as the answer is waited for: rcmd, or rexec. */
static pid_t ask_beta(int by_rcmd)
{
	pid_t pid = fork_child();
	if (pid)
		return pid;
	/* The other end may have closed before all is written. */
	signal(SIGPIPE, SIG_IGN);
	char *host = (char *)"β.lonet";
	int answer = by_rcmd ? rcmd(&host, htons(514), "a", "b", "c", NULL) : rexec(&host, htons(512), "a", "b", "c", NULL);
	/* The end comes in place of an answer. */
	_exit(answer == -1 && !strcmp(host, "xn--nxa.lonet") ? 0 : 1);
}

int main(void)
{
	const char *own = address_of("α.lonet");
	struct host beta = host("β");
	int answer = 0;
	for (int i = 0; i < 2; i++) {
		is_str(ask(beta, "listen l%d 0.0.0.0 %d", i, i ? 512 : 514), "ok", "β listens");
		pid_t pid = ask_beta(!i);
		is_str(ask(beta, "accept a%d l%d", i, i), name(own, i ? 1 : 1023), i ? "rexec dials from α:1" : "rcmd from α:1023");
		ask(beta, "close a%d", i);
		is_int(reap(pid), 0, "the name is β's");
	}
	char *host = (char *)"a.b.lonet";
	is_str(on_stderr(answer = rcmd(&host, htons(514), "a", "b", "c", NULL)), "a.b.lonet: Unknown host\n", "no host");
	is_int(answer, -1, "is no answer");
	is_str(on_stderr(answer = rexec(&host, htons(512), "a", "b", "c", NULL)), "", "for rexec, either");
	is_int(answer, -1, "which says nothing");
	leave(beta);
	return done();
}
