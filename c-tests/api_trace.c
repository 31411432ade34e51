/* lonet_trace_open and lonet_trace_next: a descriptor to poll, which delivers the network's events one by
 * one. */
#include "api.h"
#include <poll.h>

static char event[1024];

/* The next event that has this in it. */
static const char *next(int fd, const char *what)
{
	for (;;) {
		struct pollfd readable = { .fd = fd, .events = POLLIN };
		int n = lonet_trace_next(fd, event, sizeof event);
		if (n < 0)
			bail("lonet_trace_next: %s", lonet_errmsg());
		if (n == 0 && poll(&readable, 1, 60000) != 1)
			bail("no event \"%s\" comes", what);
		if (n > 0 && strlen(event) != (size_t)n)
			bail("an event of %d bytes is \"%s\"", n, event);
		if (n > 0 && strstr(event, what))
			return event;
	}
}

int main(void)
{
	lonet_net *net = joined(NULL);
	is_err(lonet_trace_open(net, 2), EINVAL, "invalid flags");
	is_err(lonet_trace_open(NULL, 0), EINVAL, "no network");
	int t = lonet_trace_open(net, 0);
	ok(t >= 0, "a trace");
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	int l = listening(a, ":80");
	int d = dialed(b, "α:80");
	int s = lonet_accept(l, 0, NULL, NULL);
	ok(s >= 0 && passes(d, s), "a connection");
	ok(strstr(next(t, "\"host_up\""), "\"host\":\"α\"") != NULL, "a host comes up");
	ok(strstr(next(t, "\"dial\""), "\"from\":\"β:1\",\"to\":\"α:80\"") != NULL, "a dial, by the address that it dials");
	next(t, "\"accepted\"");

	close(s);
	close(d);
	struct pollfd readable = { .fd = t, .events = POLLIN };
	ok(poll(&readable, 1, 60000) == 1, "the descriptor is readable");
	is_err(lonet_trace_next(t, event, 10), EINVAL, "an event that has no room");
	ok(strstr(next(t, "\"closed\""), "\"by\":\"program\"") != NULL, "stays, and is the next one");
	int all = lonet_trace_open(net, LONET_TRACE_ALL);
	ok(strstr(next(all, "\"listening\""), "\"at\":\"α:80\"") != NULL, "another one has what was before");
	close(all);
	is_err(lonet_trace_next(l, event, sizeof event), ENOTCONN, "what is no trace");

	close(t);
	close(l);
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
