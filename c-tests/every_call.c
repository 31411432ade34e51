/* every_call FILE: makes every call that lonet hooks, once, and writes each result to FILE.
 *
 * It goes on whatever the results are. Its descriptors are from 200 on, where no others are, so that a trace tells its
 * calls from those of the library. For scripts/check-panic-barrier; not a test of its own.
 */
#include "net.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <resolv.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <wordexp.h>
#include <sys/syscall.h>

enum { FIRST = 200 };

static int report;

static void note(const char *call, long result, int err)
{
	char line[200];
	int n = snprintf(line, sizeof line, "%s %ld %s\n", call, result, result < 0 ? tap_errno(err) : "");
	if (syscall(SYS_write, report, line, n) != n)
		_exit(3);
}

/* An answer of a call that says -1 and errno. */
#define try(call)                                       \
	({                                              \
		errno = 0;                              \
		long try_result = (call);               \
		note(#call, try_result, errno);         \
		try_result;                             \
	})

/* Of one that has another way to fail. */
#define tell(what, value) note(what, (value), 0)

/* A number of its own. */
static int high(int fd)
{
	int own = fcntl(fd, F_DUPFD, FIRST);
	syscall(SYS_close, fd);
	return own;
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *list = NULL;
	struct ifaddrs *all = NULL;
	struct hostent entry, *found = NULL;
	struct utsname u;
	union sa a = at("0.0.0.0", 8080), b, to = at("127.0.0.1", 8080);
	socklen_t len = sizeof b;
	char text[512], room[2000];
	unsigned char answer[512];
	int one = 1, why, value;
	static char *no_arguments[] = { (char *)"true", NULL }, *no_environment[] = { NULL };
	pid_t pid = 0;

	report = open(argc > 1 ? argv[1] : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	report = high(report);
	try(gethostname(text, sizeof text));
	try(getdomainname(text, sizeof text));
	try(uname(&u));
	tell("gethostid", gethostid());
	tell("getaddrinfo", getaddrinfo("β.lonet", "80", &hints, &list));
	tell("gethostbyname", gethostbyname("β.lonet") != NULL);
	tell("gethostbyname_r", gethostbyname_r("β.lonet", &entry, room, sizeof room, &found, &why));
	to.v4.sin_port = htons(8080);
	if (list) {
		struct sockaddr_in *beta = (void *)list->ai_addr;
		tell("getnameinfo", getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, NULL, 0, NI_NAMEREQD));
		tell("gethostbyaddr", gethostbyaddr(&beta->sin_addr, 4, AF_INET) != NULL);
		freeaddrinfo(list);
	}
	list = NULL;
	tell("getaddrinfo_of_short", getaddrinfo("γ", "80", &hints, &list)); /* the keeper's */
	if (list)
		freeaddrinfo(list);
	tell("res_query", res_query("β.lonet", 1, 1, answer, sizeof answer) > 0);
	tell("res_querydomain", res_querydomain("β", "lonet", 1, 1, answer, sizeof answer) > 0);
	try(getifaddrs(&all));
	if (all)
		freeifaddrs(all);
	struct if_nameindex *names = if_nameindex();
	tell("if_nameindex", names != NULL);
	if (names)
		if_freenameindex(names);

	int ls = high(socket(AF_INET, SOCK_STREAM, 0)), fd = high(socket(AF_INET, SOCK_STREAM, 0));
	int lost = high(socket(AF_INET, SOCK_STREAM, 0)), udp = high(socket(AF_INET, SOCK_DGRAM, 0));
	struct ifconf interfaces = { .ifc_len = 0 };
	try(ioctl(udp, SIOCGIFCONF, &interfaces));
	try(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	try(bind(ls, &a.any, sizeof a.v4));
	try(listen(ls, 8));
	try(getsockname(ls, &b.any, &len));
	len = sizeof value;
	try(getsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &value, &len));
	try(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	long connected = try(connect(fd, &to.any, sizeof to.v4));
	len = sizeof b;
	int accepted = -1;
	if (connected == 0) {
		accepted = (int)try(accept(ls, &b.any, &len));
		accepted = accepted >= 0 ? high(accepted) : -1;
	}
	len = sizeof b;
	try(getpeername(fd, &b.any, &len));
	try(sendto(fd, "x", 1, MSG_NOSIGNAL, NULL, 0));
	to.v4.sin_port = htons(8081);
	try(connect(lost, &to.any, sizeof to.v4));
	try(sendto(lost, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &to.any, sizeof to.v4));
	to.v4.sin_port = htons(53);
	try(sendto(udp, "x", 1, MSG_DONTWAIT, &to.any, sizeof to.v4));
	try(recvfrom(udp, text, sizeof text, MSG_DONTWAIT, &b.any, &len));

	int reserved = high(socket(AF_INET, SOCK_STREAM, 0));
	try(bindresvport(reserved, NULL));
	value = 1023;
	int other = (int)try(rresvport(&value));
	if (other >= 0)
		high(other);

	tell("posix_spawn", posix_spawn(&pid, "/bin/true", NULL, NULL, no_arguments, no_environment));
	if (pid > 0)
		waitpid(pid, NULL, 0);
	try(execve("/no/such/program", no_arguments, no_environment));
	tell("system", system("exit 3"));
	wordexp_t words;
	tell("wordexp", wordexp("$(echo x)", &words, 0));

	try(dup2(report, lost));
	try(close(udp));
	try(close(fd));
	try(close(accepted));
	try(close(ls));
	try(close_range(FIRST + 50, ~0u, 0));
	return 0;
}
