/* What a dial's messages take with nothing behind them: connect + accept + close as in `dials N`, by programs that say
 * COUNT datagrams for each dial to a process that reads them and does nothing. Microseconds a dial.
 *
 *     messages N COUNT
 *
 * The first datagram is said before connect, the second by who accepts, the rest behind connect. No state, no names, no
 * wait for an answer: what lonet cannot be faster than while it says so many messages. */
#include "bench.h"
#include <signal.h>
#include <stddef.h>
#include <sys/un.h>

static struct sockaddr_un reader;
static socklen_t reader_len;

/* As a library does that leaves no descriptor behind. */
static void say(void)
{
	static const char said[80];
	int fd = CHECK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	CHECK(sendto(fd, said, sizeof said, 0, (struct sockaddr *)&reader, reader_len));
	CHECK(close(fd));
}

static void read_all(int fd)
{
	char said[128];
	for (;;)
		CHECK(recv(fd, said, sizeof said, 0));
}

static void serve(int ls, int n, int says)
{
	for (int i = 0; i < n; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		int fd = CHECK(accept(ls, (struct sockaddr *)&from, &len));
		if (says)
			say();
		CHECK(close(fd));
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1, count = argc > 2 ? atoi(argv[2]) : 0, pass_credentials = 1;
	struct sockaddr_in at;
	int fd = CHECK(socket(AF_UNIX, SOCK_DGRAM, 0)), ls = listener(&at);
	reader.sun_family = AF_UNIX;
	/* A name of the kernel's choice. */
	CHECK(bind(fd, (struct sockaddr *)&reader, offsetof(struct sockaddr_un, sun_path)));
	reader_len = sizeof reader;
	CHECK(getsockname(fd, (struct sockaddr *)&reader, &reader_len));
	CHECK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &pass_credentials, sizeof pass_credentials));
	pid_t reading = CHECK(fork());
	if (reading == 0)
		read_all(fd);
	if (CHECK(fork()) == 0)
		serve(ls, n, count > 1);
	double begin = now();
	for (int i = 0; i < n; i++) {
		char c;
		if (count > 0)
			say();
		int dialed = dial(&at);
		for (int k = 2; k < count; k++)
			say();
		CHECK(read(dialed, &c, 1));
		CHECK(close(dialed));
	}
	printf("%.3f\n", (now() - begin) / n);
	kill(reading, SIGKILL);
	return 0;
}
