/* The two ends of bench/handshakes.
 *
 * handshakes serve PORT               accepts, with the caller's address, and resets each connection
 * handshakes dial IP PORT SECONDS N   dials from N processes until the time is over; prints connections a second
 * handshakes shake IP PORT SECONDS N REQUEST
 *                                     the same with a handshake of the lonet protocol, the reply to which has to
 *                                     say "connected"
 *
 * A connection is over when the server has accepted it: the dialer waits for the reset. So nobody gets ahead by
 * what fits into a backlog, and there is no TIME_WAIT, which would slow down the later runs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void serve(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct linger reset = { 1, 0 };
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(ls, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	if (bind(ls, (struct sockaddr *)&a, sizeof a) || listen(ls, 1024))
		fail("listen");
	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		int fd = accept(ls, (struct sockaddr *)&from, &len);
		if (fd < 0)
			fail("accept");
		close(fd);
	}
}

static void dial(const struct sockaddr_in *to, const char *request)
{
	char reply[1100];
	size_t got = 0;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (const struct sockaddr *)to, sizeof *to)) {
		/* The reset may come before connect returns. */
		if (errno != ECONNRESET)
			fail("connect");
		close(fd);
		return;
	}
	if (request && send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		fail("send");
	while ((n = recv(fd, reply + got, sizeof reply - 1 - got, 0)) > 0)
		got += n;
	if (n < 0 && errno != ECONNRESET)
		fail("recv");
	reply[got] = 0;
	if (request && !strstr(reply, "\" connected \"")) {
		fprintf(stderr, "not connected: %s\n", reply);
		exit(1);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc != 6 && argc != 7)
		return 2;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[3])) };
	double seconds = atof(argv[4]);
	int processes = atoi(argv[5]);
	const char *request = argv[6];
	if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
		return 2;
	long *done = mmap(NULL, processes * sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (done == MAP_FAILED)
		fail("mmap");
	double begin = now();
	for (int i = 0; i < processes; i++) {
		if (fork())
			continue;
		while (now() < begin + seconds) {
			dial(&to, request);
			done[i]++;
		}
		exit(0);
	}
	int status, failed = 0;
	while (wait(&status) > 0)
		failed |= status;
	double took = now() - begin;
	long all = 0;
	for (int i = 0; i < processes; i++)
		all += done[i];
	printf("%.0f\n", all / took);
	return failed ? 1 : 0;
}
