/* A vfork child shares its parent's memory but not its descriptors: when it closes them all, the parent's
 * sockets keep their addresses and go on. */
#include "net.h"

static int ls, fd, accepted, held;

static void close_each(void)
{
	for (int i = 3; i < 256; i++)
		close(i);
}

static void close_all_at_once(void)
{
	close_range(3, ~0U, 0);
}

static void cover(void)
{
	for (int i = 3; i < 32; i++)
		dup2(0, i);
}

static void shut(void (*closing)(void), const char *how)
{
	const char *ls_name = sockname(ls), *own = sockname(fd), *peer = peername(fd);
	int status, port = port_of(ls);

	pid_t pid = vfork();
	if (pid == 0) {
		closing();
		_exit(7);
	}
	if (pid < 0)
		bail("vfork");
	waitpid(pid, &status, 0);
	is_int(WEXITSTATUS(status), 7, "%s: the child ended", how);
	is_str(sockname(ls), ls_name, "%s: the listener has its name", how);
	is_str(sockname(fd), own, "%s: the dialer has its name", how);
	is_str(peername(fd), peer, "%s: and its peer", how);
	is_str(sockname(accepted), peer, "%s: the accepted socket has its name", how);
	is_str(peername(accepted), own, "%s: and its peer", how);
	is_int(get_opt(ls, SOL_SOCKET, SO_ACCEPTCONN), 1, "%s: the listener listens", how);
	ok(passes(fd, accepted), "%s: the connection goes on", how);
	int d = dial("127.0.0.1", port), a = take(ls);
	is_str(peername(a), sockname(d), "%s: new ones are served", how);
	close(d);
	close(a);
	int rival = tcp("127.0.0.1");
	is_err(bind_to(rival, "127.0.0.1", port), EADDRINUSE, "%s: the listener's port is held", how);
	is_err(bind_to(rival, "127.0.0.1", port_of(held)), EADDRINUSE, "%s: the bound socket's port is held", how);
	close(rival);
}

int main(void)
{
	ls = listener("127.0.0.1", 0);
	fd = dial("127.0.0.1", port_of(ls));
	accepted = take(ls);
	held = bound("127.0.0.1", 0);
	shut(close_each, "close");
	shut(close_all_at_once, "close_range");
	shut(cover, "dup2");

	/* Then the parent itself. */
	int port = port_of(ls);
	close(ls);
	is_int(dial_error("127.0.0.1", port), ECONNREFUSED, "when the parent closes, the listener is gone");
	return done();
}
