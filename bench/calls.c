/* Single calls: `calls WHAT [N]`, microseconds a call, in the fastest of a hundred batches.
 *
 *     sockname, peername   getsockname, getpeername on a connection
 *     close                close of a descriptor that is no socket (with the dup before it)
 *     elsewhere            connect to an address that is not lonet's (it fails: the socket is connected already)
 *     valve                the option that each socket of lonet's is given for faults, by a system call of its own
 *     resolve              getaddrinfo of $BENCH_SERVER, after it has been asked once
 *     own                  socket, connect, accept and close
 *     anyport              socket, bind to port 0 of all addresses, and close
 *     spawn                posix_spawn of /bin/true, to its end
 *     join                 the first bind of a process
 *     accepted             prints the time at which a first connection has been accepted
 *     rss, locked          KiB in memory after a dial; the same after mlockall */
#include "bench.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>

extern char **environ;

static double bind_once(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
	double begin = now();
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof at));
	return now() - begin;
}

static void spawn(void)
{
	char *const arguments[] = { "true", NULL };
	pid_t pid;
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ))
		die("posix_spawn");
	wait_for(pid);
}

static void connection(int ls, const struct sockaddr_in *to)
{
	int fd = dial(to);
	CHECK(close(CHECK(accept(ls, NULL, NULL))));
	CHECK(close(fd));
}

static void bind_anywhere(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof at));
	CHECK(close(fd));
}

static long resident(void)
{
	char line[256];
	long kib = 0;
	FILE *status = fopen("/proc/self/status", "r");
	while (status && fgets(line, sizeof line, status))
		sscanf(line, "VmRSS: %ld", &kib);
	return kib;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 1000;
	int is(const char *word) { return strcmp(what, word) == 0; }
	struct sockaddr_in at, name, real = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7fff0001) };
	socklen_t len = sizeof name;

	if (is("join")) {
		printf("%.3f\n", bind_once());
		return 0;
	}
	if (is("resolve")) {
		server_address();
		printf("%.3f\n", FASTEST(n, server_address()));
		return 0;
	}
	if (is("anyport")) {
		printf("%.3f\n", FASTEST(n, bind_anywhere()));
		return 0;
	}
	if (is("spawn")) {
		printf("%.3f\n", FASTEST(n, spawn()));
		return 0;
	}
	int ls = listener(&at), fd = dial(&at), peer = CHECK(accept(ls, NULL, NULL));
	if (is("accepted")) {
		printf("%.3f\n", now());
	} else if (is("rss") || is("locked")) {
		if (is("locked"))
			CHECK(mlockall(MCL_CURRENT | MCL_FUTURE));
		printf("%ld\n", resident());
	} else if (is("own")) {
		printf("%.3f\n", FASTEST(n, connection(ls, &at)));
	} else if (is("sockname")) {
		printf("%.4f\n", FASTEST(n, CHECK(getsockname(fd, (struct sockaddr *)&name, &len))));
	} else if (is("peername")) {
		printf("%.4f\n", FASTEST(n, CHECK(getpeername(fd, (struct sockaddr *)&name, &len))));
	} else if (is("close")) {
		int null = CHECK(open("/dev/null", O_RDONLY));
		printf("%.4f\n", FASTEST(n, close(dup(null))));
	} else if (is("valve")) {
		int least = 2;
		printf("%.4f\n", FASTEST(n, CHECK(syscall(SYS_setsockopt, fd, IPPROTO_IP, IP_MINTTL, &least, sizeof least))));
	} else if (is("elsewhere")) {
		if (connect(fd, (struct sockaddr *)&real, sizeof real) == 0)
			return 1;
		printf("%.4f\n", FASTEST(n, (void)connect(fd, (struct sockaddr *)&real, sizeof real)));
	} else {
		fprintf(stderr, "calls: what is %s?\n", what);
		return 2;
	}
	close(peer);
	return 0;
}
