/* fd_passing.h - descriptors of a socket that come about otherwise than by the call that made it. */
#ifndef FD_PASSING_H
#define FD_PASSING_H

#include "net.h"

/* Through a message and back: another descriptor of the same socket. */
static inline int copy_by_message(int fd)
{
	int pair[2], got;
	char byte = '!';
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || sendmsg(pair[0], &m, 0) != 1 || recvmsg(pair[1], &m, 0) != 1)
		bail("a descriptor in a message");
	memcpy(&got, CMSG_DATA(&control.head), sizeof got);
	close(pair[0]);
	close(pair[1]);
	return got;
}

static inline int copy_by_dup(int fd)
{
	return dup(fd);
}

static inline int copy_by_fcntl(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 100);
}

static const struct {
	const char *shown;
	int (*copy)(int);
} copies[] = {
	{ "dup", copy_by_dup },
	{ "fcntl", copy_by_fcntl },
	{ "a message", copy_by_message },
};

enum { COPIES = sizeof copies / sizeof *copies };

/* This program, executed in a child with the descriptor's number behind `word`: its exit code. */
static inline int by_exec(const char *program, const char *word, int fd)
{
	pid_t pid = fork_child();
	if (pid == 0) {
		char number[12];
		snprintf(number, sizeof number, "%d", fd);
		execl("/proc/self/exe", program, word, number, NULL);
		_exit(127);
	}
	return reap(pid);
}

#endif
