/* AF_UNIX sockets: addresses, credentials, dials and refusals are as without lonet. */
#include "net.h"
#include <stddef.h>
#include <sys/un.h>

enum { HEAD = offsetof(struct sockaddr_un, sun_path) };
union un { struct sockaddr_un un; struct sockaddr any; };

/* A listener at a, its name read back, a dial, both ends' names and credentials. */
static void stream(const char *kind, const union un *a, socklen_t len)
{
	int ls = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	union un got;
	socklen_t n = sizeof got;
	struct ucred who;

	is_err(bind(ls, &a->any, len), 0, "%s: bind", kind);
	is_err(getsockname(ls, &got.any, &n), 0, "%s: getsockname", kind);
	ok(n >= len && !memcmp(&got, a, len), "%s: is what was bound", kind);
	is_err(connect(fd, &a->any, len), ECONNREFUSED, "%s: connect before listen", kind);
	is_err(listen(ls, 4), 0, "%s: listen", kind);
	is_err(connect(fd, &a->any, len), 0, "%s: connect", kind);

	n = sizeof got;
	int accepted = accept(ls, &got.any, &n);
	ok(accepted >= 0, "%s: accept", kind);
	is_int(n, HEAD, "%s: the caller has no name", kind);
	is_int(got.any.sa_family, AF_UNIX, "%s: but a family", kind);
	n = sizeof got;
	is_err(getpeername(fd, &got.any, &n), 0, "%s: getpeername", kind);
	ok(n >= len && !memcmp(&got, a, len), "%s: is the listener's name", kind);
	n = sizeof got;
	is_err(getsockname(accepted, &got.any, &n), 0, "%s: the accepted socket's name", kind);
	ok(n >= len && !memcmp(&got, a, len), "%s: is the listener's too", kind);
	n = sizeof who;
	is_err(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &who, &n), 0, "%s: SO_PEERCRED", kind);
	is_int(who.pid, getpid(), "%s: the caller's process", kind);
	is_int(get_opt(accepted, SOL_SOCKET, SO_DOMAIN), AF_UNIX, "%s: SO_DOMAIN", kind);
	ok(passes(fd, accepted), "%s: bytes", kind);

	int rival = socket(AF_UNIX, SOCK_STREAM, 0);
	is_err(bind(rival, &a->any, len), EADDRINUSE, "%s: the name is taken", kind);
	close(rival);
	close(fd);
	close(accepted);
	close(ls);
}

int main(void)
{
	union un a;
	memset(&a, 0, sizeof a);
	a.un.sun_family = AF_UNIX;

	char dir[] = "/tmp/posix_unix.XXXXXX";
	if (!mkdtemp(dir))
		bail("mkdtemp");
	int n = snprintf(a.un.sun_path, sizeof a.un.sun_path, "%s/socket", dir);
	stream("path", &a, (socklen_t)(HEAD + n));
	is_int(unlink(a.un.sun_path), 0, "path: the name outlives the socket");
	rmdir(dir);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	is_err(connect(fd, &a.any, sizeof a), ENOENT, "path: nobody there");
	close(fd);

	memset(a.un.sun_path, 0, sizeof a.un.sun_path);
	n = snprintf(a.un.sun_path + 1, sizeof a.un.sun_path - 1, "posix_unix_untouched.%d", getpid());
	stream("abstract", &a, (socklen_t)(HEAD + 1 + n));

	int pair[2];
	is_err(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0, "socketpair");
	socklen_t len = sizeof a;
	is_err(getpeername(pair[0], &a.any, &len), 0, "socketpair: getpeername");
	is_int(len, HEAD, "socketpair: no name");
	ok(passes(pair[0], pair[1]), "socketpair: bytes");
	is_err(shutdown(pair[0], SHUT_WR), 0, "socketpair: shutdown");
	char c;
	is_int(recv(pair[1], &c, 1, 0), 0, "socketpair: the end");

	int dgram = socket(AF_UNIX, SOCK_DGRAM, 0), autobound = bind(dgram, &(struct sockaddr){ .sa_family = AF_UNIX }, 2);
	is_int(autobound, 0, "autobind of an AF_UNIX socket");
	len = sizeof a;
	getsockname(dgram, &a.any, &len);
	is_int(len, HEAD + 6, "gives a name of five digits");
	return done();
}
