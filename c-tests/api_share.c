/* Hosts shared by several handles or processes. */
#include "api.h"

int main(void)
{
	lonet_net *net = joined("share-me"), *same = joined("share-me");
	lonet_host *a = host(net, "α", LONET_TCP_PORTS), *b = host(net, "β", 0), *h = NULL;
	int go[2], ready_pipe[2];
	char c;

	is_err(lonet_host_new(same, "α", 0, &h), EEXIST, "a host of another handle is taken");
	is_fail(lonet_host_new(same, "α", 0, &h), EEXIST, "host lonetshare-me α: host already registered");
	h = host(same, "α", LONET_SHARE);
	ok(h != a, "LONET_SHARE: a handle of its own");
	int l = listening(a, ":1"), l2 = listening(h, "");
	is_addr(local(l2), "α:2", "of the same host");
	is_err(lonet_host_close(a), 0, "closing the first");
	int d = dialed(b, "α:1"), s = lonet_accept(l, 0, NULL, NULL);
	is_addr(local(s), "α:1", "leaves the host up, with its way of accepting");
	close(d);
	close(s);

	/* Another process with another handle. */
	make_pipe(go);
	make_pipe(ready_pipe);
	pid_t pid = fork_child();
	if (pid == 0) {
		lonet_net *own = joined("share-me");
		if (lonet_host_new(own, "α", 0, NULL) == 0 || errno != EEXIST)
			_exit(1);
		lonet_host *mine = host(own, "α", LONET_SHARE);
		int fd = listening(mine, "");
		if (strcmp(local(fd), "α:3"))
			_exit(2);
		say(ready_pipe[1]);
		hear(go[0]);
		int got = lonet_accept(fd, 0, NULL, NULL);
		_exit(got >= 0 && !strcmp(local(got), "α:3") ? 0 : 3);
	}
	hear(ready_pipe[0]);
	d = dialed(b, "α:3");
	is_err(lonet_leave(same), 0, "leaving with the last handle of this process");
	is_err(lonet_accept(l2, 0, NULL, NULL), EHOSTDOWN, "ends its listeners");
	is_fail(lonet_host_new(net, "α", 0, &h), EEXIST, "host lonetshare-me α: host already registered");
	say(go[1]);
	is_int(reap(pid), 0, "and not those of the other process");
	is_int(recv(d, &c, 1, 0), 0, "which end with it");
	close(d);
	h = host(net, "α", 0);
	is_addr(local(listening(h, "")), "α:1", "then the name and all ports are free");
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
