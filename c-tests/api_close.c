/* What closing a host or leaving a network does to its listeners, connections, names and handles. */
#include "api.h"
#include <pthread.h>

struct call {
	pthread_t thread;
	int fd, result, err;
	char message[1100];
	lonet_host *host;
	const char *addr;
	int started[2];
};

static void *accepts(void *arg)
{
	struct call *c = arg;
	say(c->started[1]);
	c->result = lonet_accept(c->fd, 0, NULL, NULL);
	c->err = errno;
	snprintf(c->message, sizeof c->message, "%s", lonet_errmsg());
	return NULL;
}

static void *dials(void *arg)
{
	struct call *c = arg;
	say(c->started[1]);
	c->result = lonet_dial(c->host, c->addr, -1);
	c->err = errno;
	snprintf(c->message, sizeof c->message, "%s", lonet_errmsg());
	return NULL;
}

/* Starts a call that will block; it has begun when this returns, and most likely blocks. */
static void start(struct call *c, void *(*run)(void *))
{
	make_pipe(c->started);
	if (pthread_create(&c->thread, NULL, run, c))
		bail("pthread_create");
	hear(c->started[0]);
	usleep(50000); /* either order is right; this is the more interesting one */
}

int main(void)
{
	lonet_net *net = joined(NULL), *other = joined(NULL);
	const char *n = lonet_network(net);
	char name[100];
	snprintf(name, sizeof name, "%s", n);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	char c;

	int l = listening(a, ":1"), idle = listening(a, ":2"), d = dialed(b, "α:1"), waiting = dialed(b, "α:1");
	struct ends e = accepted(l);
	struct call blocked = { .fd = idle };
	start(&blocked, accepts);

	is_err(lonet_host_new(net, "α", 0, NULL), EEXIST, "the name is taken");
	is_err(lonet_host_close(a), 0, "closing the host");
	pthread_join(blocked.thread, NULL);
	is_err(blocked.result < 0 ? (errno = blocked.err, -1) : 0, EHOSTDOWN, "a blocked accept ends");
	is_str(blocked.message, "accept α:2: host is down", "and says why");
	is_int(recv(d, &c, 1, 0), 0, "the peer of a connection sees the end");
	ok(recv(waiting, &c, 1, 0) <= 0, "and that of one which nobody accepted");
	is_int(recv(e.fd, &c, 1, 0), 0, "its own end is shut down, too");
	ok(fcntl(l, F_GETFD) >= 0 && fcntl(idle, F_GETFD) >= 0 && fcntl(e.fd, F_GETFD) >= 0,
	   "the descriptors stay open");
	is_err(lonet_accept(l, 0, NULL, NULL), EHOSTDOWN, "accept after the end");
	is_fail(lonet_dial(b, "α:1", -1), EHOSTUNREACH, "dial %s β:2->α:1: no such host", name);

	is_fail(lonet_listen(a, "", 1), EHOSTDOWN, "listen: the host was closed");
	is_fail(lonet_dial(a, ":1", -1), EHOSTDOWN, "dial: the host was closed");
	is_fail(lonet_host_close(a), EHOSTDOWN, "close: the host was closed");
	is_fail(lonet_set_default_host(a), EHOSTDOWN, "default host: the host was closed");
	ok(lonet_host_name(a) == NULL && errno == EHOSTDOWN, "its handle has no name any more");

	lonet_host *again = host(net, "α", 0);
	ok(again != a, "the name can be given again, and the old handle is not the new one");
	is_err(lonet_listen(a, "", 1), EHOSTDOWN, "and stays closed");
	int l2 = listening(again, ":1");
	is_addr(local(l2), "α:1", "all its ports are free, though descriptors of the old one are open");
	int d2 = dialed(b, "α:1");
	is_addr(peer(d2), "α:2", "and it is dialed");
	is_addr(local(d2), "β:2", "from a port that is free: that of the connection that was reset");
	close(d);
	close(waiting);

	/* A dial that waits for room in the queue. */
	int full = lonet_listen(again, ":50", 0), fill[8], filled = 0;
	while (filled < 8 && (fill[filled] = lonet_dial(b, "α:50", 200)) >= 0)
		filled++;
	is_err(filled < 8 ? -1 : 0, ETIMEDOUT, "a full queue");
	struct call dialing = { .host = b, .addr = "α:50" };
	start(&dialing, dials);
	is_err(lonet_host_close(b), 0, "closing a host that dials");
	pthread_join(dialing.thread, NULL);
	is_err(dialing.result < 0 ? (errno = dialing.err, -1) : 0, EHOSTDOWN, "the dial ends");
	while (filled)
		close(fill[--filled]);
	close(full);

	/* Leaving. */
	struct call left = { .fd = l2 };
	struct ends e2 = accepted(l2);
	start(&left, accepts);
	is_err(lonet_leave(net), 0, "leaving the network");
	pthread_join(left.thread, NULL);
	is_err(left.result < 0 ? (errno = left.err, -1) : 0, ENETDOWN, "a blocked accept ends");
	is_str(left.message, "accept: the network was left", "and says why");
	is_fail(lonet_leave(net), ENETDOWN, "leave: the network was left");
	is_fail(lonet_host_new(net, "γ", 0, NULL), ENETDOWN, "host: the network was left");
	ok(lonet_network(net) == NULL && errno == ENETDOWN, "no name");
	is_fail(lonet_listen(again, "", 1), ENETDOWN, "listen: the host's network was left");
	is_fail(lonet_dial(again, "β:1", 0), ENETDOWN, "dial: the host's network was left");
	is_fail(lonet_host_close(again), ENETDOWN, "close: the host's network was left");
	is_fail(lonet_accept(l2, 0, NULL, NULL), ENETDOWN, "accept: the network was left");
	is_fail(lonet_local_addr(e2.fd, NULL), ENETDOWN, "local address: the network was left");
	is_int(recv(e2.fd, &c, 1, 0), 0, "its connections have ended");

	lonet_host *o = host(other, "α", 0);
	ok(lonet_listen(o, ":1", 1) >= 0, "another network goes on");
	is_err(lonet_leave(other), 0, "until it is left, too");
	return done();
}
