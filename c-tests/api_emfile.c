/* With no descriptor left, each call fails with EMFILE, loses nothing, and works again when there is one. */
#include "api.h"
#include <sys/resource.h>

static int taken[2000], n_taken;

/* Leaves `left` descriptors. */
static void leave_descriptors(int left)
{
	int fd;
	while ((fd = dup(0)) >= 0)
		taken[n_taken++] = fd;
	while (left--)
		close(taken[--n_taken]);
}

static void give_back(void)
{
	while (n_taken)
		close(taken[--n_taken]);
}

int main(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 100;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		bail("setrlimit");
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	int l = listening(a, ":80"), d = dialed(b, "α:80"), free_fd = lowest_free();

	for (int left = 0; left < 2; left++) {
		leave_descriptors(left);
		is_err(lonet_listen(a, "", 1), EMFILE, "%d left: listen", left);
		is_err(lonet_dial(b, "α:80", -1), EMFILE, "%d left: dial", left);
		is_err(lonet_dial_start(b, "α:80"), EMFILE, "%d left: dial without waiting", left);
		is_err(lonet_accept(l, 0, NULL, NULL), EMFILE, "%d left: accept", left);
		is_err(lonet_host_close(a), EMFILE, "%d left: closing a host", left);
		is_err(lonet_leave(net), EMFILE, "%d left: leaving", left);
		give_back();
		is_int(lowest_free(), free_fd, "nothing is left open");
	}
	leave_descriptors(0);
	is_err(lonet_join(NULL, NULL), EMFILE, "none left: join");
	is_err(lonet_host_new(net, "γ", 0, NULL), EMFILE, "a new host");
	is_err(lonet_local_addr(d, NULL), EMFILE, "local address");
	is_err(lonet_peer_addr(d, NULL), EMFILE, "peer address");
	give_back();

	leave_descriptors(2);
	struct ends e = accepted(l);
	is_addr(e.local, "α:1", "two are enough: the connection waited all the time");
	is_addr(e.peer, "β:1", "and has its names");
	close(e.fd);
	int d2 = lonet_dial(b, "α:80", -1);
	ok(d2 >= 0, "two are enough for a dial");
	is_addr(local(d2), "β:2", "and no port was lost");
	close(d2);
	give_back();
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
