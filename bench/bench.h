/* What the benchmarks share. All times are of CLOCK_MONOTONIC, in microseconds.
 *
 * BENCH_SERVER: a name or address of the host that the program runs on; servers bind it, clients dial it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ __typeof__(call) value_ = (call); if ((long)value_ < 0) die(#call); value_; })

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* Microseconds of one of `n` times `step`. They are made in so many batches and the fastest one counts: what else the
 * machine does can only make a batch slower. */
#define FASTEST_OF(batches, n, step) ({ \
	double best_ = 1e18; \
	for (int batch_ = 0, each_ = (n) / (batches) > 0 ? (n) / (batches) : 1; batch_ < (batches); batch_++) { \
		double begin_ = now(); \
		for (int i_ = 0; i_ < each_; i_++) \
			step; \
		double took_ = (now() - begin_) / each_; \
		if (took_ < best_) \
			best_ = took_; \
	} \
	best_; })
#define FASTEST(n, step) FASTEST_OF(100, n, step)

/* Where the server is: port 0. */
static inline struct sockaddr_in server_address(void)
{
	const char *name = getenv("BENCH_SERVER");
	struct addrinfo *found, hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct sockaddr_in address;
	int error = getaddrinfo(name ? name : "127.0.0.1", NULL, &hints, &found);
	if (error) {
		fprintf(stderr, "BENCH_SERVER: %s\n", gai_strerror(error));
		exit(1);
	}
	memcpy(&address, found->ai_addr, sizeof address);
	freeaddrinfo(found);
	return address;
}

/* A listener on the server's first free port; `at` becomes its address. */
static inline int listener(struct sockaddr_in *at)
{
	socklen_t len = sizeof *at;
	int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
	*at = server_address();
	CHECK(bind(fd, (struct sockaddr *)at, len));
	CHECK(listen(fd, 1024));
	CHECK(getsockname(fd, (struct sockaddr *)at, &len));
	return fd;
}

static inline int dial(const struct sockaddr_in *to)
{
	int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
	CHECK(connect(fd, (const struct sockaddr *)to, sizeof *to));
	return fd;
}

/* As many descriptors as may be had. */
static inline void raise_limit(void)
{
	struct rlimit limit = { 1 << 18, 1 << 18 };
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static inline void wait_for(pid_t pid)
{
	int status;
	CHECK(waitpid(pid, &status, 0));
	if (status != 0)
		exit(1);
}
