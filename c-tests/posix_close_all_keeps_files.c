/* A process with sockets closes all descriptors, by each of five methods, opens files in their place, and
 * uses the network again: the files contain only what was written to them, and descriptor numbers are the
 * lowest as ever. */
#include "net.h"
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { FILES = 8, LINES = 200 };

static void by_close(void)
{
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
}

static void by_raw_close(void)
{
	for (int fd = 3; fd < 1024; fd++)
		syscall(SYS_close, fd);
}

static void by_closefrom(void)
{
	closefrom(3);
}

static void by_close_range(void)
{
	close_range(3, ~0u, 0);
}

/* The others are duplicates of standard input, and go one by one. */
static void by_dup2(void)
{
	for (int fd = 3; fd < 64; fd++)
		dup2(0, fd);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
}

/* Dials itself, with whatever that needs. */
static int network(void)
{
	int ls = tcp("127.0.0.1"), fd = tcp("127.0.0.1");
	if (bind_to(ls, "127.0.0.1", 0) < 0 || listen(ls, 1) < 0 || connect_to(fd, "127.0.0.1", port_of(ls)) < 0)
		return 0;
	int accepted = accept(ls, NULL, NULL);
	int good = accepted >= 0 && !strcmp(peername(accepted), sockname(fd)) && passes(fd, accepted);
	reset_on_close(fd);
	close(fd);
	close(accepted);
	close(ls);
	return good;
}

/* In a child: its exit code says what went wrong. */
static int life(void (*close_all)(void), const char *dir)
{
	static char want[LINES * 32], got[LINES * 32 + 1];
	int files[FILES];
	char path[300];
	if (!network())
		return 10;
	for (int i = 0; i < 5; i++)
		listener("127.0.0.1", 0);
	close_all();
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof path, "%s/%d", dir, i);
		files[i] = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (files[i] != 3 + i)
			return 11;
	}
	size_t n = 0;
	for (int line = 0; line < LINES; line++) {
		n += (size_t)sprintf(want + n, "line %d\n", line);
		for (int i = 0; i < FILES; i++)
			if (dprintf(files[i], "line %d\n", line) < 0)
				return 12;
		if (line % 20 == 0 && !network())
			return 13;
	}
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof path, "%s/%d", dir, i);
		memset(got, 0, sizeof got);
		int fd = open(path, O_RDONLY);
		if (fd != 3 + FILES || read(fd, got, sizeof got) != (ssize_t)n || memcmp(got, want, n))
			return 14;
		close(fd);
		unlink(path);
	}
	return 0;
}

int main(void)
{
	static const struct { const char *how; void (*close_all)(void); } ways[] = {
		{ "close", by_close }, { "the system call close", by_raw_close }, { "closefrom", by_closefrom },
		{ "close_range", by_close_range }, { "dup2", by_dup2 },
	};
	const char *tmp = getenv("TMPDIR");
	char dir[256];
	snprintf(dir, sizeof dir, "%s/victims.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bail("mkdtemp");
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		pid_t pid = fork_child();
		if (pid == 0)
			_exit(life(ways[i].close_all, dir));
		is_int(reap(pid), 0, "%s: the network works, the files are what was written", ways[i].how);
	}
	rmdir(dir);
	return done();
}
