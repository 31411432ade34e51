/* Children that no fork handler sees: _Fork, the system calls fork, clone and clone3, clone with shared
 * memory. They can use inherited sockets and sockets of their own; what they close stays open in the
 * parent. */
#include "net.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>

static int ls, port;

/* What each child does; its exit code. */
static int child(void *unused)
{
	(void)unused;
	/* SIGALRM is not set here: shared memory would share its handler. */
	int fd = tcp("127.0.0.1");
	if (connect_to(fd, "127.0.0.1", port) < 0)
		return 1;
	int accepted = accept(ls, NULL, NULL);
	if (accepted < 0 || strcmp(peername(accepted), sockname(fd)) || !passes(fd, accepted))
		return 2;
	int own = tcp("127.0.0.1");
	if (bind_to(own, "127.0.0.1", 0) < 0 || listen(own, 1) < 0 || port_of(own) == port)
		return 3;
	for (int i = 3; i < 64; i++)
		close(i);
	return 0;
}

static pid_t by_Fork(void)
{
	pid_t pid = _Fork();
	if (pid == 0)
		_exit(child(NULL));
	return pid;
}

static pid_t by_sys_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);
	if (pid == 0)
		_exit(child(NULL));
	return pid;
}

static pid_t by_sys_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(child(NULL));
	return pid;
}

static char stack[1 << 20] __attribute__((aligned(16)));

static pid_t by_clone(void)
{
	return clone(child, stack + sizeof stack, SIGCHLD, NULL);
}

static pid_t by_clone_vm(void)
{
	return clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
}

/* Shares the memory and the descriptors: what it closes is closed for all, so it closes its own alone. */
static int sharing_child(void *unused)
{
	(void)unused;
	int fd = tcp("127.0.0.1");
	if (connect_to(fd, "127.0.0.1", port) < 0)
		return 1;
	int accepted = accept(ls, NULL, NULL);
	int good = accepted >= 0 && !strcmp(peername(accepted), sockname(fd)) && passes(fd, accepted);
	close(fd);
	close(accepted);
	return good ? 0 : 2;
}

static pid_t by_clone_files(void)
{
	return clone(sharing_child, stack + sizeof stack, CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, NULL);
}

int main(void)
{
	static const struct { const char *how; pid_t (*start)(void); } ways[] = {
		{ "_Fork", by_Fork }, { "SYS_fork", by_sys_fork }, { "SYS_clone3", by_sys_clone3 }, { "clone", by_clone },
		{ "clone with CLONE_VM", by_clone_vm }, { "clone with CLONE_FILES", by_clone_files },
	};
	ls = listener("127.0.0.1", 0);
	port = port_of(ls);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const char *how = ways[i].how, *own;
		int fd = dial("127.0.0.1", port), accepted = take(ls);
		own = sockname(fd);
		pid_t pid = ways[i].start();
		if (pid < 0) {
			/* clone3 is forbidden in some containers. */
			is_int(errno, ENOSYS, "%s: is not there # SKIP", how);
			continue;
		}
		is_int(reap(pid), 0, "%s: the child dials, accepts and binds", how);
		is_str(sockname(fd), own, "%s: the parent's socket has its name", how);
		is_str(peername(accepted), own, "%s: and its peer", how);
		ok(passes(fd, accepted), "%s: its connection goes on", how);
		is_int(get_opt(ls, SOL_SOCKET, SO_ACCEPTCONN), 1, "%s: it listens", how);
		close(fd);
		close(accepted);
	}
	return done();
}
