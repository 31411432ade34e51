/* child.h - programs that a test executes: itself, with a word as first argument. */
#ifndef CHILD_H
#define CHILD_H

#include "net.h"
#include <spawn.h>

/* The test's own file. */
static inline const char *self(void)
{
	static char path[4096];
	if (!path[0] && readlink("/proc/self/exe", path, sizeof path - 1) < 0)
		bail("/proc/self/exe");
	return path;
}

/* What was written into a pipe whose writers have gone, without the last newline. */
static inline const char *words(int fd)
{
	static char ring[8][65536];
	static unsigned turn;
	char *out = ring[turn++ % 8];
	size_t n = 0;
	ssize_t got;
	while ((got = read(fd, out + n, 65535 - n)) > 0)
		n += (size_t)got;
	if (n && out[n - 1] == '\n')
		n--;
	out[n] = 0;
	close(fd);
	return out;
}

/* Runs `call` in a child whose stdout is a pipe; what came out of it. */
#define said_by(how, call)                                \
	({                                                \
		int said_ends[2];                         \
		make_pipe(said_ends);                     \
		fflush(stdout);                           \
		pid_t said_pid = how();                   \
		if (said_pid == 0) {                      \
			dup2(said_ends[1], STDOUT_FILENO); \
			call;                             \
			_exit(99);                        \
		}                                         \
		close(said_ends[1]);                      \
		const char *said_words = words(said_ends[0]); \
		waitpid(said_pid, NULL, 0);               \
		said_words;                               \
	})

#endif
