/* A listener is inherited: a child can accept, and four preforked children share the work. */
#include "net.h"

/* The child's report, by exit code: 0 is good. */
static int child_accepts(int ls, const char *listener_name, const char *dest, int port)
{
	union sa from;
	socklen_t len = sizeof from;
	if (strcmp(sockname(ls), listener_name))
		return 1;
	int fd = accept(ls, &from.any, &len);
	if (fd < 0)
		return 2;
	if (strcmp(sockname(fd), name(dest, port)))
		return 3;
	if (strcmp(peername(fd), text(&from)))
		return 4;
	/* Tell the caller what it is called here. */
	if (send(fd, text(&from), strlen(text(&from)) + 1, MSG_NOSIGNAL) < 0)
		return 5;
	char c;
	return recv(fd, &c, 1, 0) == 0 ? 0 : 6;
}

static void accepts(const char *ip, const char *dest, int parent_closes)
{
	enum { CHILDREN = 4 };
	int ls = listener(ip, 0), port = port_of(ls), fds[CHILDREN];
	const char *ls_name = sockname(ls);
	pid_t pids[CHILDREN];

	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork_child();
		if (pids[i] == 0)
			_exit(child_accepts(ls, ls_name, dest, port));
	}
	if (parent_closes)
		close(ls);
	for (int i = 0; i < CHILDREN; i++) {
		char called[80] = "";
		fds[i] = dial(dest, port);
		ok(recv(fds[i], called, sizeof called, 0) > 0, "%s: caller %d is served by a child", ip, i);
		is_str(called, sockname(fds[i]), "%s: which knows its name", ip);
		is_str(peername(fds[i]), name(dest, port), "%s: as the caller knows the child's", ip);
	}
	for (int i = 0; i < CHILDREN; i++)
		close(fds[i]);
	for (int i = 0; i < CHILDREN; i++)
		is_int(reap(pids[i]), 0, "%s: child %d found all names right", ip, i);
	if (parent_closes) {
		is_int(dial_error(dest, port), ECONNREFUSED, "%s: with the last holder the listener ended", ip);
	} else {
		int fd = dial(dest, port), accepted = take(ls);
		ok(passes(fd, accepted), "%s: the parent still listens", ip);
		close(fd);
		close(accepted);
		close(ls);
	}
}

int main(void)
{
	accepts("127.0.0.1", "127.0.0.1", 0);
	accepts("127.0.0.1", "127.0.0.1", 1);
	accepts("0.0.0.0", "127.0.0.1", 0);
	accepts("::1", "::1", 1);

	/* A connection dialed by the parent is the child's too. */
	int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls)), accepted = take(ls);
	const char *peer = peername(fd), *own = sockname(fd);
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(strcmp(peername(fd), peer) || strcmp(sockname(fd), own) || send(fd, "c", 1, 0) != 1);
	is_int(reap(pid), 0, "a child has its parent's connection, under the same names");
	char c;
	is_int(recv(accepted, &c, 1, 0), 1, "and sends on it");
	ok(passes(fd, accepted), "its exit does not end the parent's");
	return done();
}
