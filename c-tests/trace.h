/* trace.h - stops another process between two of its steps: at the entry or exit of a system call. ptrace. */
#ifndef TRACE_H
#define TRACE_H

#include "net.h"
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* In the process that is to be traced by its parent. It stops here until its parent calls trace_begin. */
static inline void trace_me(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		bail("PTRACE_TRACEME");
	raise(SIGSTOP);
}

static inline void trace_begin(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		bail("the traced process does not stop");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)) < 0)
		bail("PTRACE_SETOPTIONS");
}

/* Goes on to the next entry or exit of a system call: 1, and `at` says which; 0: the process has ended, and *end
 * is what wait said. Signals on the way are passed on. */
static inline int trace_next(pid_t pid, struct __ptrace_syscall_info *at, int *end)
{
	int status, signal = 0;
	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signal) < 0 && errno != ESRCH)
			bail("PTRACE_SYSCALL");
		if (waitpid(pid, &status, __WALL) != pid)
			bail("waitpid of the traced process");
		if (!WIFSTOPPED(status)) {
			*end = status;
			return 0;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof *at, at) < 0)
				bail("PTRACE_GET_SYSCALL_INFO");
			return 1;
		}
		/* The stop after exec is no signal. */
		signal = status >> 16 ? 0 : WSTOPSIG(status);
	}
}

/* Lets it run on alone. */
static inline void trace_end(pid_t pid)
{
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

/* The family of the address that a traced process passes to a system call. */
static inline int traced_family(pid_t pid, unsigned long address)
{
	errno = 0;
	long word = ptrace(PTRACE_PEEKDATA, pid, (void *)address, NULL);
	return errno ? -1 : (int)(word & 0xffff);
}

/* Goes on until it is about to connect to an IPv4 address. */
static inline void trace_to_connect(pid_t pid)
{
	struct __ptrace_syscall_info at;
	int end;
	while (trace_next(pid, &at, &end))
		if (at.op == PTRACE_SYSCALL_INFO_ENTRY && at.entry.nr == SYS_connect &&
		    traced_family(pid, at.entry.args[1]) == AF_INET)
			return;
	bail("it has ended without a connect");
}

#endif
