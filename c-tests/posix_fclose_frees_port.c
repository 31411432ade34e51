/* However a socket's descriptor is closed, its port is free again and can be bound explicitly. */
#include "net.h"
#include <sys/syscall.h>

static void by_close(int fd)
{
	close(fd);
}

static void by_fclose(int fd)
{
	fclose(fdopen(fd, "r+"));
}

static void by_freopen(int fd)
{
	FILE *f = fdopen(fd, "r+");
	f = freopen("/dev/null", "r", f);
	fclose(f);
}

static void by_dup2(int fd)
{
	int null = open("/dev/null", O_RDWR);
	dup2(null, fd);
	close(null);
	close(fd);
}

static void by_dup3(int fd)
{
	int null = open("/dev/null", O_RDWR);
	dup3(null, fd, O_CLOEXEC);
	close(null);
	close(fd);
}

static void by_raw_close(int fd)
{
	syscall(SYS_close, fd);
}

static const struct {
	const char *shown;
	void (*end)(int);
} ways[] = {
	{ "close", by_close }, { "fclose", by_fclose }, { "freopen", by_freopen },
	{ "dup2", by_dup2 },   { "dup3", by_dup3 },     { "the system call", by_raw_close },
};

int main(void)
{
	static const char *const ips[] = { "127.0.0.1", "0.0.0.0", "::1", "::" };
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		for (size_t i = 0; i < sizeof ips / sizeof *ips; i++) {
			int port = own_port(), fd = listener(ips[i], port), again = tcp(ips[i]);
			if (bind_to(again, ips[i], port) == 0 || errno != EADDRINUSE)
				bail("the port is not held");
			ways[w].end(fd);
			is_err(bind_to(again, ips[i], port), 0, "%s by %s: a listener's port is free", ips[i], ways[w].shown);
			is_err(listen(again, 8), 0, "%s by %s: and can be listened on", ips[i], ways[w].shown);
			ways[w].end(again);

			fd = bound(ips[i], port);
			ways[w].end(fd);
			again = tcp(ips[i]);
			is_err(bind_to(again, ips[i], port), 0, "%s by %s: a bound socket's port is free", ips[i],
			       ways[w].shown);
			close(again);
		}
	}
	return done();
}
