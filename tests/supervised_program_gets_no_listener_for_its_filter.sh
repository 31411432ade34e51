#!/bin/bash
# A supervised program's own seccomp filter holds beside lonet's, for calls that lonet carries out, too; one with a listener of its
# own, to which lonet's calls would go, is refused with EBUSY, and the program is a host all the same.
. "$(dirname "$0")/scenario.bash"
need cc python3

mkdir "$work/src"
cat >"$work/src/filter.c" <<'C'
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Filters the calls with this number: 0, the descriptor of a listener, or -1. */
static long filter(unsigned flags, unsigned number, unsigned action)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof rules / sizeof *rules, rules };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static const char *dial(const char *ip)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80) };
	static char heard[8];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	inet_pton(AF_INET, ip, &to.sin_addr);
	if (connect(fd, (struct sockaddr *)&to, sizeof to))
		return strerror(errno);
	recv(fd, heard, 7, MSG_WAITALL);
	return heard;
}

int main(int argc, char **argv)
{
	if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return perror("prctl"), 1;
	long listener = filter(SECCOMP_FILTER_FLAG_NEW_LISTENER, SYS_connect, SECCOMP_RET_USER_NOTIF);
	printf("a listener: %s\n", listener < 0 ? strerror(errno) : "got");
	if (listener >= 0)
		return 0;
	printf("a dial: %s\n", dial(argv[1]));
	if (filter(0, SYS_connect, SECCOMP_RET_ERRNO | EXDEV))
		return perror("seccomp"), 1;
	printf("a filter against it: %s\n", dial(argv[1]));
	return 0;
}
C
cc -static -o "$work/src/filter" "$work/src/filter.c"
welcome
start server lonet run --host α -- python3 "$work/server.py" 80
lonet wait --timeout 120 α:80
ip=$(lonet addr --host α:80)
is "$("$work/src/filter" "$ip")" "a listener: got" "without lonet it gets one"
is "$(lonet run --host β -- "$work/src/filter" "$ip")" "a listener: Device or resource busy
a dial: welcome
a filter against it: Invalid cross-device link" "supervised, it gets none, and its filter holds"
