/* What a connection carries: `stream ping N`, microseconds a round trip of one byte; `stream bulk N`, microseconds
 * a MiB, one way in writes of 64 KiB, each answered with a byte. In the fastest of a hundred batches.
 *
 * Both ends are on one processor. On two, each byte wakes a processor that idles, or finds one that does not idle yet,
 * as the scheduler has it: 4 µs or 50 for the life of the processes.
 *
 * The buffers have one size and the congestion control is reno. Left alone, the kernel sizes buffers by how late the
 * receiver came for the first bytes, and bbr, which is the default of some machines, paces by its first guess of the
 * path: a stream takes 85, 110, 150 or 230 µs a MiB for the life of the connection. */
#include "bench.h"
#include <netinet/tcp.h>
#include <sched.h>
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

static void stay_on_this_processor(void)
{
	cpu_set_t here;
	CPU_ZERO(&here);
	CPU_SET(CHECK(sched_getcpu()), &here);
	CHECK(sched_setaffinity(0, sizeof here, &here));
}

/* There is no congestion control in what socket_wrapper puts in the place of TCP. */
static void take_chance_out(int fd)
{
	int size = 212992;
	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
}

int main(int argc, char **argv)
{
	int ping = argc > 1 && strcmp(argv[1], "ping") == 0, one = 1;
	size_t chunk = ping ? 1 : 1 << 20;
	int n = argc > 2 ? atoi(argv[2]) : 1000;
	struct sockaddr_in at;
	stay_on_this_processor();
	int ls = listener(&at);
	take_chance_out(ls);
	pid_t server = CHECK(fork());
	if (server == 0) {
		int fd = CHECK(accept(ls, NULL, NULL));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		for (;;)
			read_all(fd, chunk), write_all(fd, 1);
	}
	int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
	take_chance_out(fd);
	CHECK(connect(fd, (struct sockaddr *)&at, sizeof at));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	printf("%.4f\n", FASTEST(n, ({ write_all(fd, chunk), read_all(fd, 1); })));
	kill(server, SIGKILL);
	return 0;
}
