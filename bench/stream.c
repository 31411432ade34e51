/* What a connection carries: `stream ping N`, microseconds a round trip of one byte; `stream bulk MIB`, microseconds
 * a MiB, one way in writes of 64 KiB. */
#include "bench.h"
#include <netinet/tcp.h>

static char buffer[1 << 16];

static void read_all(int fd, size_t n)
{
	while (n > 0)
		n -= CHECK(read(fd, buffer, n < sizeof buffer ? n : sizeof buffer));
}

static void write_all(int fd, size_t n)
{
	while (n > 0)
		n -= CHECK(write(fd, buffer, n < sizeof buffer ? n : sizeof buffer));
}

int main(int argc, char **argv)
{
	int ping = argc > 1 && strcmp(argv[1], "ping") == 0, one = 1;
	int n = argc > 2 ? atoi(argv[2]) : 1000;
	struct sockaddr_in at;
	int ls = listener(&at);
	pid_t server = CHECK(fork());
	if (server == 0) {
		int fd = CHECK(accept(ls, NULL, NULL));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (ping)
			for (int i = 0; i < n; i++)
				read_all(fd, 1), write_all(fd, 1);
		else
			read_all(fd, (size_t)n << 20), write_all(fd, 1);
		_exit(0);
	}
	int fd = dial(&at);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	double begin = now();
	if (ping)
		for (int i = 0; i < n; i++)
			write_all(fd, 1), read_all(fd, 1);
	else
		write_all(fd, (size_t)n << 20), read_all(fd, 1);
	printf("%.4f\n", (now() - begin) / n);
	wait_for(server);
	return 0;
}
