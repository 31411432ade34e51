/* A server binds and changes its root to an empty directory, without any of the machine's files: it can
 * still accept, see its peers' addresses, dial and bind. Without root it does so in a user namespace,
 * where that is allowed. */
#include "net.h"
#include <sched.h>

/* Its exit code says what went wrong. */
static int locked_in(int ls, const char *dir, int may_chroot)
{
	if (may_chroot && (chroot(dir) < 0 || chdir("/") < 0))
		return 10;
	if (!may_chroot && (unshare(CLONE_NEWUSER) < 0 || chroot(dir) < 0 || chdir("/") < 0))
		return 77;
	if (access("/proc/self", F_OK) == 0)
		return 11;
	int wrong = goes_on(ls);
	return wrong ? wrong : dial_error("127.0.0.1", port_of(ls)) ? 16 : 0;
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[256], seen[80] = "";
	snprintf(dir, sizeof dir, "%s/empty.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bail("mkdtemp");
	int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls));
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(locked_in(ls, dir, geteuid() == 0));
	int end = reap(pid);
	rmdir(dir);
	if (end == 77) {
		ok(1, "this user may not change the root # SKIP");
		return done();
	}
	is_int(end, 0, "the server goes on");
	ok(recv(fd, seen, sizeof seen, 0) > 0, "its caller is answered");
	is_str(seen, sockname(fd), "under its name");
	return done();
}
