/* ways_to_close.h - how the last descriptor of a socket can go. */
#ifndef WAYS_TO_CLOSE_H
#define WAYS_TO_CLOSE_H

#include "net.h"
#include <sys/syscall.h>

static inline void by_close(int fd)
{
	close(fd);
}

static inline void by_dup2(int fd)
{
	int null = open("/dev/null", O_RDWR);
	dup2(null, fd);
	close(null);
}

static inline void by_dup3(int fd)
{
	int null = open("/dev/null", O_RDWR);
	dup3(null, fd, O_CLOEXEC);
	close(null);
}

/* libc's other names of these. */
int __close(int);
int __dup2(int, int);
int _IO_fclose(FILE *);

static inline void by_other_close(int fd)
{
	__close(fd);
}

static inline void by_other_dup2(int fd)
{
	int null = open("/dev/null", O_RDWR);
	__dup2(null, fd);
	close(null);
}

static inline void by_other_fclose(int fd)
{
	_IO_fclose(fdopen(fd, "r+"));
}

static inline void by_close_range(int fd)
{
	close_range((unsigned)fd, (unsigned)fd, 0);
}

static inline void by_closefrom(int fd)
{
	dup2(fd, 500);
	close(fd);
	closefrom(500);
}

static inline void by_fclose(int fd)
{
	fclose(fdopen(fd, "r+"));
}

static inline void by_freopen(int fd)
{
	FILE *f = fdopen(fd, "r+");
	f = freopen("/dev/null", "r", f);
	fclose(f);
}

static inline void by_raw_close(int fd)
{
	syscall(SYS_close, fd);
}

static inline void by_raw_dup2(int fd)
{
	int null = open("/dev/null", O_RDWR);
	syscall(SYS_dup3, null, fd, 0);
	close(null);
}

static inline void by_two_closes(int fd)
{
	int other = dup(fd);
	close(fd);
	close(other);
}

static inline void by_close_of_a_copy(int fd)
{
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	close(fd);
	close(other);
}

static const struct {
	const char *shown;
	void (*end)(int);
	int seen; /* by a hook, so that whoever wants the port asks */
	int late; /* seen by nobody but the kernel, which announces the end */
} ways[] = {
	{ "close", by_close, 1, 0 },
	{ "dup2 over it", by_dup2, 1, 0 },
	{ "dup3 over it", by_dup3, 1, 0 },
	{ "close_range", by_close_range, 1, 0 },
	{ "closefrom", by_closefrom, 1, 0 },
	{ "fclose", by_fclose, 1, 0 },
	{ "freopen", by_freopen, 1, 0 },
	{ "__close", by_other_close, 1, 0 },
	{ "__dup2 over it", by_other_dup2, 1, 0 },
	{ "_IO_fclose", by_other_fclose, 1, 0 },
	{ "the system call close", by_raw_close, 0, 1 },
	{ "the system call dup3", by_raw_dup2, 0, 1 },
	{ "close, of both of two", by_two_closes, 0, 0 },
	{ "close, then of a copy made by fcntl", by_close_of_a_copy, 0, 0 },
};

#endif
