/* A listener and a connection survive exec: the new program finds them under their addresses. */
#include "net.h"

/* The program after exec: fd numbers and the names to expect. Its report is its exit code. */
static int after_exec(char **argv)
{
	int ls = atoi(argv[2]), fd = atoi(argv[3]), closed = atoi(argv[4]);
	if (strcmp(sockname(ls), argv[5]))
		return 10;
	if (get_opt(ls, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return 11;
	if (strcmp(sockname(fd), argv[6]))
		return 12;
	if (strcmp(peername(fd), argv[7]))
		return 13;
	if (getsockname(closed, NULL, NULL) == 0 || errno != EBADF)
		return 14;

	int accepted = take(ls);
	if (strcmp(sockname(accepted), argv[5]))
		return 15;
	const char *caller = peername(accepted);
	if (send(accepted, caller, strlen(caller) + 1, MSG_NOSIGNAL) < 0)
		return 16;
	if (send(fd, "exec", 4, MSG_NOSIGNAL) != 4)
		return 17;

	/* It can bind, listen and dial, too. */
	int own = listener("127.0.0.1", 0), d = dial("127.0.0.1", port_of(own)), a = take(own);
	return passes(d, a) ? 0 : 18;
}

static void exec_self(int ls, int fd, int closed)
{
	char ls_text[12], fd_text[12], closed_text[12];
	snprintf(ls_text, sizeof ls_text, "%d", ls);
	snprintf(fd_text, sizeof fd_text, "%d", fd);
	snprintf(closed_text, sizeof closed_text, "%d", closed);
	execl("/proc/self/exe", "posix_exec_inherits_listener", "after-exec", ls_text, fd_text, closed_text,
	      sockname(ls), sockname(fd), peername(fd), (char *)NULL);
	_exit(99);
}

int main(int argc, char **argv)
{
	if (argc == 8 && !strcmp(argv[1], "after-exec"))
		return after_exec(argv);

	int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls)), accepted = take(ls), port = port_of(ls);
	int cloexec = listener("127.0.0.1", 0), cloexec_port = port_of(cloexec);
	fcntl(cloexec, F_SETFD, FD_CLOEXEC);

	pid_t pid = fork_child();
	if (pid == 0)
		exec_self(ls, fd, cloexec);
	close(ls);
	close(cloexec);
	char called[80] = "", said[4] = "";
	int caller = dial("127.0.0.1", port);
	ok(recv(caller, called, sizeof called, 0) > 0, "the program after exec accepts");
	is_str(called, sockname(caller), "and names its caller");
	is_int(recv(accepted, said, 4, MSG_WAITALL), 4, "it sends on the connection that it inherited");
	is_int(reap(pid), 0, "it found listener, connection and names as they were");
	is_int(dial_error("127.0.0.1", cloexec_port), ECONNREFUSED, "a close-on-exec listener ended at exec");
	is_int(dial_error("127.0.0.1", port), ECONNREFUSED, "the other one with the program");
	return done();
}
