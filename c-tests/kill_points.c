/* kill_points - kills lonetd at every step of a script, or at every step of its own, and checks that no program notices.
 *
 *     kill_points program FIRST LAST STEP   stops the script at its FIRST, FIRST + STEP, … LASTth entry into or exit
 *                                           from a system call, kills lonetd there, and lets the script go on
 *     kill_points lonetd FIRST LAST STEP    kills lonetd at that step of its own, and leaves the script alone
 *     kill_points starter FIRST LAST STEP   kills a program at that step of its first bind, which starts lonetd; the
 *                                           next program must find all in order. Preload the library beforehand.
 *
 *     kill_points first FIRST LAST STEP     kills lonetd at that step of its start
 *
 * Each step is tried in a network of its own, $LONET_NETWORK. The run ends with the first step that the script, or
 * lonetd, does not reach. Needs `lonet` in PATH. Prints the steps that failed, and how many were tried.
 */
#include "lonet.h"
#include "trace.h"
#include <sys/stat.h>
#include <sys/un.h>

/* ----------------------------------------------------------------------------------------------- the script */

static int wrong;

/* One expectation of the script; what is wrong is said, and the script goes on. */
#define want(cond) ((cond) ? 0 : (wrong++, printf("#   line %d: %s; errno %s\n", __LINE__, #cond, tap_errno(errno)), 0))

static int is_named(int fd, const char *own, const char *peer)
{
	if (!strcmp(sockname(fd), own) && (!peer || !strcmp(peername(fd), peer)))
		return 1;
	printf("#   it is %s", sockname(fd));
	printf(", and its peer %s\n", peer ? peername(fd) : "does not matter");
	return 0;
}

/* Everything that has to do with ports, once. Its errors are lonet's only if lonetd's death made them. */
static int script(void)
{
	const char *own = address_of("α.lonet");
	trace_me();
	int ls = tcp(own);
	want(bind_to(ls, "0.0.0.0", 0) == 0);
	want(listen(ls, 8) == 0);
	want(is_named(ls, "0.0.0.0:1", NULL));

	int fd = tcp(own);
	want(connect_to(fd, own, 1) == 0);
	want(is_named(fd, name(own, 2), name(own, 1)));
	union sa from;
	socklen_t len = sizeof from;
	int accepted = accept(ls, &from.any, &len);
	want(accepted >= 0 && !strcmp(text(&from), name(own, 2)));
	want(is_named(accepted, name(own, 1), name(own, 2)));
	want(passes(fd, accepted));

	int idle = tcp(own);
	want(bind_to(idle, "127.0.0.1", 0) == 0);
	want(is_named(idle, "127.0.0.1:3", NULL));
	int again = tcp(own);
	want(bind_to(again, "0.0.0.0", 3) < 0 && errno == EADDRINUSE);
	close(idle);
	want(bind_to(again, "0.0.0.0", 3) == 0);
	want(is_named(again, "0.0.0.0:3", NULL));
	want(next_port() == 4);

	int refused = tcp(own);
	want(connect_to(refused, own, 77) < 0 && errno == ECONNREFUSED);
	close(refused);

	int later = tcp_flags(own, SOCK_NONBLOCK);
	want(connect_to(later, "127.0.0.1", 1) == 0 || errno == EINPROGRESS);
	wait_for(later, POLLOUT);
	want(is_named(later, "127.0.0.1:4", "127.0.0.1:1"));
	close(later);
	int gone = accept(ls, &from.any, &len);
	want(gone >= 0 && !strcmp(text(&from), "127.0.0.1:4"));
	close(gone);
	want(next_port() == 4);

	want(passes(fd, accepted));
	want(is_named(fd, name(own, 2), name(own, 1)));
	want(is_named(accepted, name(own, 1), name(own, 2)));
	close(fd);
	close(accepted);
	close(ls);
	want(next_port() == 1);
	want(bind_to(fd = tcp(own), "0.0.0.0", 3) < 0 && errno == EADDRINUSE);
	close(fd);
	close(again);
	want(next_port() == 1);
	fflush(stdout);
	return wrong ? 1 : 0;
}

/* ----------------------------------------------------------------------------------------------- the killers */

/* lonetd's pid, as the kernel names who listens on the control socket; 0: nobody does. */
static pid_t lonetd(void)
{
	const char *tmp = getenv("TMPDIR"), *network = getenv("LONET_NETWORK");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	snprintf(un.sun_path, sizeof un.sun_path, "%s/lonet/%s/control", tmp ? tmp : "/tmp", network);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred who = { 0 };
	socklen_t len = sizeof who;
	if (connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	close(fd);
	return who.pid;
}

static void kill_and_see(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	kill(pid, SIGKILL);
	if (fd >= 0) {
		wait_for(fd, POLLIN);
		close(fd);
	}
}

static pid_t start_script(char *self)
{
	pid_t pid = fork();
	if (pid == 0) {
		execlp("lonet", "lonet", "run", "--host", "α", "--", self, "script", (char *)NULL);
		_exit(127);
	}
	trace_begin(pid);
	return pid;
}

static int end_of(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, __WALL) == pid)
		if (!WIFSTOPPED(status))
			return status;
	bail("waitpid");
}

/* Where in the script lonetd was killed, for who reads of it. */
static char where[80];

/* A turn: 1 if the point was reached. *status is how the script ended. */
static int turn_of_program(pid_t pid, long point, int *status)
{
	struct __ptrace_syscall_info at;
	long number = -1;
	for (long n = 1; n <= point; n++) {
		if (!trace_next(pid, &at, status))
			return 0;
		if (at.op == PTRACE_SYSCALL_INFO_ENTRY)
			number = (long)at.entry.nr;
	}
	snprintf(where, sizeof where, "%s system call %ld", at.op == PTRACE_SYSCALL_INFO_ENTRY ? "before" : "after", number);
	kill_and_see(lonetd());
	trace_end(pid);
	*status = end_of(pid);
	return 1;
}

static int turn_of_lonetd(pid_t pid, long point, int *status)
{
	pid_t daemon = lonetd();
	struct __ptrace_syscall_info at;
	int end, reached = 1;
	if (ptrace(PTRACE_SEIZE, daemon, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0)
		bail("PTRACE_SEIZE");
	ptrace(PTRACE_INTERRUPT, daemon, NULL, NULL);
	if (waitpid(daemon, &end, __WALL) != daemon)
		bail("lonetd does not stop");
	trace_end(pid);
	for (long n = 1; n <= point && reached; n++) {
		/* The script may end while lonetd rests in epoll_wait. */
		ptrace(PTRACE_SYSCALL, daemon, NULL, NULL);
		for (;;) {
			int some;
			pid_t who = waitpid(-1, &some, __WALL);
			if (who == pid && !WIFSTOPPED(some)) {
				*status = some;
				reached = 0;
				break;
			}
			if (who == daemon)
				break;
		}
		if (reached && ptrace(PTRACE_GET_SYSCALL_INFO, daemon, (void *)sizeof at, &at) < 0)
			bail("PTRACE_GET_SYSCALL_INFO");
	}
	kill_and_see(daemon);
	if (waitpid(daemon, &end, __WALL) != daemon)
		bail("waitpid of lonetd");
	if (reached)
		*status = end_of(pid);
	return reached;
}

static int turn_of_starter(long point, int *status)
{
	int reached = 1;
	pid_t pid = fork();
	if (pid == 0) {
		trace_me();
		_exit(next_port() != 1);
	}
	trace_begin(pid);
	struct __ptrace_syscall_info at;
	for (long n = 1; n <= point && reached; n++)
		reached = trace_next(pid, &at, status);
	if (reached) {
		kill(pid, SIGKILL);
		end_of(pid);
		pid = fork();
		if (pid == 0)
			_exit(next_port() != 1);
		*status = end_of(pid);
	}
	return reached;
}

/* In the place of the lonet command, from a program that starts lonetd: kill_points as-lonetd POINT REAL ARG…, where
 * POINT is a file with the number of the step; it is taken away when the step has been reached. */
static int as_lonetd(char **argv)
{
	FILE *file = fopen(argv[2], "r");
	long point = 0;
	if (!file || fscanf(file, "%ld", &point) != 1)
		execv(argv[3], argv + 3);
	fclose(file);
	pid_t pid = fork();
	if (pid == 0) {
		trace_me();
		execv(argv[3], argv + 3);
		_exit(127);
	}
	close(3); /* where a program waits for lonetd's word, or for its end */
	trace_begin(pid);
	struct __ptrace_syscall_info at;
	int end, in_exec = 1;
	for (long n = 0; n < point;) {
		if (!trace_next(pid, &at, &end))
			return 1;
		in_exec = in_exec && !(at.op == PTRACE_SYSCALL_INFO_ENTRY && at.entry.nr == SYS_execve);
		n += !in_exec;
		/* It rests: the start is over. */
		if (at.op == PTRACE_SYSCALL_INFO_ENTRY && at.entry.nr == SYS_epoll_wait) {
			trace_end(pid);
			return 0;
		}
	}
	unlink(argv[2]);
	kill(pid, SIGKILL);
	end_of(pid);
	return 1;
}

static int turn_of_first(const char *self, const char *lonet, long point, int *status)
{
	char file[200], wrapper[200];
	const char *tmp = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	snprintf(file, sizeof file, "%s/point.%d", tmp, getpid());
	snprintf(wrapper, sizeof wrapper, "%s/wrapper.%d", tmp, getpid());
	FILE *f = fopen(file, "w");
	fprintf(f, "%ld\n", point);
	fclose(f);
	f = fopen(wrapper, "w");
	fprintf(f, "#!/bin/sh\nexec '%s' as-lonetd '%s' '%s' \"$@\"\n", self, file, lonet);
	fclose(f);
	chmod(wrapper, 0700);
	pid_t pid = fork();
	if (pid == 0) {
		setenv("LONET_BIN", wrapper, 1);
		execlp("lonet", "lonet", "run", "--host", "α", "--", self, "next", (char *)NULL);
		_exit(127);
	}
	*status = end_of(pid);
	return access(file, F_OK) != 0;
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "as-lonetd"))
		return as_lonetd(argv);
	if (argc == 2 && !strcmp(argv[1], "next"))
		return next_port() != 1;
	if (argc == 2 && !strcmp(argv[1], "script"))
		return script();
	if (argc != 5)
		return fprintf(stderr, "usage: kill_points program|lonetd|starter|first FIRST LAST STEP\n"), 2;
	int points = 0, bad = 0;
	char self[4096], lonet[4096] = "";
	if (!realpath("/proc/self/exe", self))
		bail("realpath");
	FILE *which = popen("command -v lonet", "r");
	if (fscanf(which, "%4095[^\n]", lonet) != 1)
		bail("no lonet in PATH");
	pclose(which);
	for (long point = atol(argv[2]); point <= atol(argv[3]); point += atol(argv[4])) {
		alarm(TAP_SECONDS);
		int status, reached;
		if (!strcmp(argv[1], "starter"))
			reached = turn_of_starter(point, &status);
		else if (!strcmp(argv[1], "first"))
			reached = turn_of_first(self, lonet, point, &status);
		else if (!strcmp(argv[1], "lonetd"))
			reached = turn_of_lonetd(start_script(argv[0]), point, &status);
		else
			reached = turn_of_program(start_script(argv[0]), point, &status);
		if (status) {
			printf("point %ld %s: the script ended with status %#x\n", point, where, status);
			bad++;
		}
		if (system("lonet down --kill"))
			bail("lonet down");
		if (!reached)
			break;
		points++;
	}
	printf("%d points, %d wrong\n", points, bad);
	return bad != 0 || points == 0;
}
