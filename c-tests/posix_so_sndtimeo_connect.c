/* SO_SNDTIMEO limits connect: EINPROGRESS when the time is over, and the dial goes on by itself. */
#include "net.h"
#include "waiting.h"

static void timed(const char *ip)
{
	enum { MOST = 16 };
	int ls = bound(ip, 0), fds[MOST], n = 0, err = 0;

	int fd = patient(ip, 500);
	is_err(connect_to(fd, ip, port_of(ls)), ECONNREFUSED, "%s: a refusal does not wait", ip);
	close(fd);

	/* The smallest backlog is soon full; who then dials gets no answer. */
	if (listen(ls, 0) < 0)
		bail("listen");
	while (n < MOST && err == 0) {
		fds[n] = patient(ip, 20);
		err = connect_to(fds[n], ip, port_of(ls)) < 0 ? errno : 0;
		n++;
	}
	is_int(err, EINPROGRESS, "%s: the backlog is full, the time is over", ip);
	ok(n > 1, "%s: but the first dial was in time", ip);
	fd = fds[n - 1];
	is_int(ready(fd, POLLOUT), 0, "%s: the dial has not ended", ip);
	is_str(peername(fd), "ENOTCONN", "%s: and has no peer yet", ip);
	err = connect_to(fd, ip, port_of(ls)) < 0 ? errno : 0;
	ok(err == EALREADY, "%s: connect meanwhile: EALREADY, not %s", ip, tap_errno(err));

	for (int i = 0; i < n - 1; i++)
		close(take(ls));
	is_int(wait_for(fd, POLLOUT) & POLLERR, 0, "%s: room in the backlog lets it through", ip);
	int accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "%s: under its name", ip);
	is_err(connect_to(fd, ip, port_of(ls)), 0, "%s: connect says that it succeeded", ip);
	ok(passes(fd, accepted), "%s: bytes", ip);

	struct timeval t;
	socklen_t len = sizeof t;
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &len);
	ok(t.tv_sec == 0 && t.tv_usec >= 20000 && t.tv_usec < 40000, "%s: SO_SNDTIMEO is as it was set", ip);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	close(accepted);
	close(ls);
}

int main(void)
{
	timed("127.0.0.1");
	timed("::1");
	return done();
}
