/* remote.h - the other end of rcmd and rexec: a server for one call, which answers with what it was told. */
#ifndef REMOTE_H
#define REMOTE_H

#include "reserved.h"

static inline const char *hear_string(int fd)
{
	static char ring[4][64];
	static unsigned turn;
	char *out = ring[turn++ % 4];
	int n = 0;
	while (n < 63 && read(fd, out + n, 1) == 1 && out[n])
		n++;
	out[n] = 0;
	return out;
}

static inline void say_string(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(4);
}

enum { RCMD = 1, REFUSES = 2 };

/* In a child. The answer is "a,b,c" of the three strings, on the second connection "errors"; to REFUSES a refusal. With RCMD it
 * says of each port of the caller's whether it is a low one, and its own is, too. */
static inline pid_t serve_one(int ls, int how)
{
	pid_t pid = fork_child();
	if (pid)
		return pid;
	union sa from;
	socklen_t len = sizeof from;
	int fd = accept(ls, &from.any, &len), errors = -1, low = is_reserved(ntohs(from.v4.sin_port)), port = 1023;
	const char *asked = hear_string(fd);
	if (*asked) {
		errors = how & RCMD ? rresvport_af(&port, from.any.sa_family) : socket(from.any.sa_family, SOCK_STREAM, 0);
		from.v4.sin_port = htons((in_port_t)atoi(asked));
		if (connect(errors, &from.any, len_of(&from)) < 0)
			_exit(3);
	}
	const char *a = hear_string(fd), *b = hear_string(fd), *c = hear_string(fd);
	char line[256];
	int n = snprintf(line, sizeof line, "%s,%s,%s", a, b, c);
	if (how & RCMD)
		snprintf(line + n, sizeof line - (size_t)n, "%s%s", low ? " from a low port" : "",
			 *asked && is_reserved(atoi(asked)) ? ", another for errors" : "");
	if (how & REFUSES) {
		say_string(fd, "\1not today\n");
	} else {
		if (write(fd, "", 1) != 1)
			_exit(4);
		say_string(fd, line);
	}
	if (errors >= 0)
		say_string(errors, "errors");
	_exit(0);
}

/* What comes until the end. */
static inline const char *rest_of(int fd)
{
	static char ring[4][256];
	static unsigned turn;
	char *out = ring[turn++ % 4];
	size_t n = 0;
	ssize_t got;
	while (fd >= 0 && (got = read(fd, out + n, 255 - n)) > 0)
		n += (size_t)got;
	out[n] = 0;
	close(fd);
	return out;
}

/* What `call` writes to stderr. */
#define on_stderr(call)                              \
	({                                           \
		int stderr_ends[2], stderr_was = dup(2); \
		make_pipe(stderr_ends);              \
		dup2(stderr_ends[1], 2);             \
		close(stderr_ends[1]);               \
		call;                                \
		dup2(stderr_was, 2);                 \
		close(stderr_was);                   \
		rest_of(stderr_ends[0]);             \
	})

#endif
