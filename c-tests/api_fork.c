/* Handles and descriptors after fork: the child can use them, and each process owns what it makes. */
#include "api.h"

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	int l = listening(a, ":80"), go[2];
	char c;

	/* A child that accepts what its parent dials, by its parent's listener. */
	pid_t pid = fork_child();
	if (pid == 0) {
		struct ends e = accepted(l);
		_exit(strcmp(e.local, "α:1") || strcmp(e.peer, "β:1") || send(e.fd, "!", 1, 0) != 1);
	}
	int d = dialed(b, "α:80");
	is_int(recv(d, &c, 1, 0), 1, "the child has accepted");
	is_int(reap(pid), 0, "with the right names");
	is_int(recv(d, &c, 1, 0), 0, "its end closes the connection");
	close(d);
	d = dialed(b, "α:80");
	is_addr(local(d), "β:1", "and frees the ports");
	is_addr(peer(d), "α:1", "of both ends");
	close(accepted(l).fd);
	close(d);

	/* A child dials and listens by its parent's handles. */
	make_pipe(go);
	pid = fork_child();
	if (pid == 0) {
		int fd = dialed(b, "α:80"), own = listening(b, "");
		int right = !strcmp(local(fd), "β:1") && !strcmp(local(own), "β:2");
		say(go[1]);
		recv(fd, &c, 1, 0);
		_exit(!right);
	}
	hear(go[0]);
	is_addr(local(listening(b, "")), "β:3", "the parent sees the child's ports held");
	struct ends e = accepted(l);
	is_addr(e.peer, "β:1", "and its name");
	close(e.fd);
	is_int(reap(pid), 0, "the child's names");
	is_addr(local(listening(b, "")), "β:1", "free again with its end");

	/* A child that ends the host ends what is its own, and the other way round. */
	pid = fork_child();
	if (pid == 0) {
		dialed(b, "α:80");
		_exit(lonet_host_close(a) < 0 || lonet_leave(net) < 0);
	}
	is_int(reap(pid), 0, "a child leaves");
	d = dialed(b, "α:80");
	ok(d >= 0, "its parent's listener goes on");

	pid = fork_child();
	if (pid == 0) {
		hear(go[0]);
		int own = lonet_listen(b, "", 1);
		_exit(own < 0 || lonet_dial(b, local(own), -1) < 0);
	}
	is_err(lonet_leave(net), 0, "the parent leaves");
	say(go[1]);
	is_int(reap(pid), 0, "a child stays and is the host");
	return done();
}
