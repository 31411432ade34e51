/* Runs a program as on a kernel before 6.3, which has no IP_LOCAL_PORT_RANGE: simulated by a seccomp filter.
 *
 *     old_kernel PROGRAM [ARG…] */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define LOW(n) (offsetof(struct seccomp_data, args[n]) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))
#define IS(value, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, otherwise)
int main(int argc, char **argv)
{
	if (argc < 2)
		return fputs("old_kernel PROGRAM [ARG…]\n", stderr), 2;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		IS(SYS_setsockopt, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW(1)),
		IS(IPPROTO_IP, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW(2)),
		IS(51 /* IP_LOCAL_PORT_RANGE */, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return perror("seccomp"), 125;
	execvp(argv[1], argv + 1);
	return perror(argv[1]), 127;
}
