/* connect + accept (with the peer's address) + close, over and over, between processes: microseconds a dial, with one
 * blocking client in the fastest of ten batches.
 *
 *     dials N [CLIENTS [IN_FLIGHT [OPEN]]]
 *
 * N dials in all, by CLIENTS processes (1) to one server process. IN_FLIGHT: so many at a time, non-blocking with
 * epoll at both ends; 0 (the default): one at a time, blocking. OPEN connections, held by other processes, are open
 * on the host meanwhile. */
#include "bench.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>

enum { BATCHES = 10 };

/* The server closes first, and the client waits for it: without that the clients would be ahead of the server, the
 * backlog would be full, and a second would be lost with every SYN that is dropped. */
static void serve_blocking(int ls, int n)
{
	for (int i = 0; i < n; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		CHECK(close(CHECK(accept(ls, (struct sockaddr *)&from, &len))));
	}
}

static void dial_once(const struct sockaddr_in *to)
{
	char c;
	int fd = dial(to);
	CHECK(read(fd, &c, 1));
	CHECK(close(fd));
}

static void watch(int epoll, int fd, int events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

static void serve_epoll(int ls, int n)
{
	int epoll = CHECK(epoll_create1(0));
	fcntl(ls, F_SETFL, O_NONBLOCK);
	watch(epoll, ls, EPOLLIN);
	for (int over = 0; over < n;) {
		struct epoll_event event;
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		int fd;
		CHECK(epoll_wait(epoll, &event, 1, -1));
		while ((fd = accept4(ls, (struct sockaddr *)&from, &len, SOCK_NONBLOCK)) >= 0) {
			CHECK(close(fd));
			over++;
		}
	}
}

static void begin_dial(int epoll, const struct sockaddr_in *to)
{
	int fd = CHECK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS)
		die("connect");
	/* Readable once the server has closed it. */
	watch(epoll, fd, EPOLLIN);
}

static void dial_epoll(const struct sockaddr_in *to, int n, int in_flight)
{
	int epoll = CHECK(epoll_create1(0)), begun = 0;
	while (begun < n && begun < in_flight)
		begin_dial(epoll, to), begun++;
	for (int over = 0; over < n;) {
		struct epoll_event events[64];
		int ready = CHECK(epoll_wait(epoll, events, 64, -1));
		for (int i = 0; i < ready; i++, over++) {
			int error;
			socklen_t len = sizeof error;
			getsockopt(events[i].data.fd, SOL_SOCKET, SO_ERROR, &error, &len);
			if (error)
				errno = error, die("connect");
			CHECK(close(events[i].data.fd));
			if (begun < n)
				begin_dial(epoll, to), begun++;
		}
	}
}

/* Holds n connections to itself until the other end of the pipe `end` is closed. */
static void hold(int n, int ready, const int *end)
{
	struct sockaddr_in at;
	char c = 0;
	close(end[1]);
	raise_limit();
	int ls = listener(&at);
	for (int i = 0; i < n; i++) {
		dial(&at);
		CHECK(accept(ls, NULL, NULL));
	}
	CHECK(write(ready, &c, 1));
	CHECK(read(end[0], &c, 1));
	_exit(0);
}

/* Starts processes that together hold `open` connections. How many. */
static int open_many(int open, const int *end)
{
	enum { EACH = 5000 };
	int ready[2], holders = 0;
	char c;
	CHECK(pipe(ready));
	for (int left = open; left > 0; left -= EACH, holders++)
		if (CHECK(fork()) == 0)
			hold(left < EACH ? left : EACH, ready[1], end);
	close(ready[1]);
	for (int i = 0; i < holders; i++)
		if (read(ready[0], &c, 1) != 1)
			exit(1);
	return holders;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 10000, clients = argc > 2 ? atoi(argv[2]) : 1;
	int in_flight = argc > 3 ? atoi(argv[3]) : 0, open = argc > 4 ? atoi(argv[4]) : 0;
	int end[2];
	struct sockaddr_in at;
	CHECK(pipe(end));
	int holders = open_many(open, end);
	int ls = listener(&at);
	n -= n % (clients * BATCHES);
	double *fastest = mmap(NULL, sizeof *fastest, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fastest == MAP_FAILED)
		die("mmap");
	pid_t server = CHECK(fork());
	if (server == 0) {
		in_flight ? serve_epoll(ls, n) : serve_blocking(ls, n);
		_exit(0);
	}
	double begin = now();
	for (int i = 0; i < clients; i++) {
		if (CHECK(fork()) == 0) {
			if (in_flight)
				dial_epoll(&at, n / clients, in_flight);
			else
				*fastest = FASTEST_OF(BATCHES, n / clients, dial_once(&at));
			_exit(0);
		}
	}
	for (int i = 0; i < clients + 1; i++)
		wait_for(-1);
	printf("%.3f\n", clients == 1 && !in_flight ? *fastest : (now() - begin) / n);
	close(end[1]);
	for (int i = 0; i < holders; i++)
		wait_for(-1);
	return 0;
}
