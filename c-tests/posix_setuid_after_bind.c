/* A server binds as root and then drops root for good: it can still accept, see its peers' addresses, dial
 * and bind, and so can a worker that it forks and a program that it executes. */
#include "net.h"
#include <grp.h>

enum { NOBODY = 65534 };

/* Its exit code says what went wrong. */
static int unprivileged(int ls, int as)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 10;
	if (setuid(0) == 0)
		return 11;
	if (as == 0)
		return goes_on(ls);
	if (as == 1) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(goes_on(ls));
		return pid < 0 ? 16 : reap(pid);
	}
	char text[12];
	snprintf(text, sizeof text, "%d", ls);
	execl("/proc/self/exe", "setuid", "serve", text, (char *)NULL);
	return 17;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return goes_on(atoi(argv[2]));
	if (geteuid() != 0) {
		ok(1, "who is not root has nothing to give up # SKIP");
		return done();
	}
	static const char *const who[] = { "the process", "its child", "what it executes" };
	for (int as = 0; as < 3; as++) {
		char seen[80] = "";
		int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls));
		pid_t pid = fork_child();
		if (pid == 0)
			_exit(unprivileged(ls, as));
		is_int(reap(pid), 0, "%s goes on without privileges", who[as]);
		ok(recv(fd, seen, sizeof seen, 0) > 0, "%s: its caller is answered", who[as]);
		is_str(seen, sockname(fd), "%s: under its name", who[as]);
		close(fd);
		close(ls);
	}
	return done();
}
