/* connect + accept (with the peer's address) + close, over and over, in two processes.
 * dials N: forks a server and a client on this host's loopback; prints microseconds a dial. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 10000;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(ls, (struct sockaddr *)&a, len) || listen(ls, 128) || getsockname(ls, (struct sockaddr *)&a, &len)) {
		perror("listen");
		return 1;
	}
	pid_t server = fork();
	if (server == 0) {
		for (int i = 0; i < n; i++) {
			struct sockaddr_in from;
			socklen_t flen = sizeof from;
			int fd = accept(ls, (struct sockaddr *)&from, &flen);
			char c;
			if (fd < 0)
				return 1;
			if (read(fd, &c, 1) < 0)
				return 1;
			close(fd);
		}
		return 0;
	}
	double begin = now();
	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
			perror("connect");
			return 1;
		}
		close(fd);
	}
	waitpid(server, NULL, 0);
	printf("%.2f\n", (now() - begin) / n * 1e6);
	return 0;
}
