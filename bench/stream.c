/* What a connection carries: `stream ping N`, microseconds a round trip of one byte; `stream bulk N`, microseconds
 * a MiB, one way in writes of 64 KiB, each answered with a byte. In the fastest of a hundred batches. */
#include "bench.h"
#include <netinet/tcp.h>
#include <signal.h>

static char buffer[1 << 16];

static void read_all(int fd, size_t n)
{
	while (n > 0) {
		ssize_t got = CHECK(read(fd, buffer, n < sizeof buffer ? n : sizeof buffer));
		if (got == 0)
			exit(1);
		n -= got;
	}
}

static void write_all(int fd, size_t n)
{
	while (n > 0)
		n -= CHECK(write(fd, buffer, n < sizeof buffer ? n : sizeof buffer));
}

int main(int argc, char **argv)
{
	int ping = argc > 1 && strcmp(argv[1], "ping") == 0, one = 1;
	size_t chunk = ping ? 1 : 1 << 20;
	int n = argc > 2 ? atoi(argv[2]) : 1000;
	struct sockaddr_in at;
	int ls = listener(&at);
	pid_t server = CHECK(fork());
	if (server == 0) {
		int fd = CHECK(accept(ls, NULL, NULL));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		for (;;)
			read_all(fd, chunk), write_all(fd, 1);
	}
	int fd = dial(&at);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	printf("%.4f\n", FASTEST(n, ({ write_all(fd, chunk), read_all(fd, 1); })));
	kill(server, SIGKILL);
	return 0;
}
