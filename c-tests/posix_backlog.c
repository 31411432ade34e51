/* Connections complete before they are accepted, and keep order, data and names while they wait. */
#include "net.h"

static void waiting(const char *ip, const char *dest)
{
	enum { CALLERS = 8 };
	int ls = listener(ip, 0), port = port_of(ls), fds[CALLERS];
	const char *names[CALLERS];

	for (int i = 0; i < CALLERS; i++) {
		char digit = (char)('0' + i);
		fds[i] = dial(dest, port);
		names[i] = sockname(fds[i]);
		if (send(fds[i], &digit, 1, 0) != 1)
			bail("send");
	}
	is_str(peername(fds[0]), name(dest, port), "%s: a caller that waits and has sent has its peer", ip);

	/* Two give up while they wait: one closes, one resets. */
	close(fds[1]);
	reset_on_close(fds[2]);
	close(fds[2]);

	for (int i = 0; i < CALLERS; i++) {
		union sa from;
		socklen_t len = sizeof from;
		char c = 0;
		int accepted = accept(ls, &from.any, &len);
		ok(accepted >= 0, "%s: accept %d", ip, i);
		is_str(text(&from), names[i], "%s: caller %d comes in its turn and is named", ip, i);
		is_int(recv(accepted, &c, 1, 0), 1, "%s: data of %d waited for it", ip, i);
		is_int(c, '0' + i, "%s: and is its own", ip);
		if (i == 1)
			is_int(recv(accepted, &c, 1, 0), 0, "%s: caller 1 had closed", ip);
		else if (i == 2)
			is_err(recv(accepted, &c, 1, 0), ECONNRESET, "%s: caller 2 had reset", ip);
		else
			ok(passes(accepted, fds[i]), "%s: caller %d is served", ip, i);
		close(accepted);
	}
	ok(!ready(ls, POLLIN), "%s: nobody is left", ip);
	for (int i = 3; i < CALLERS; i++)
		close(fds[i]);
	close(fds[0]);

	/* A listener that closes resets those who wait. */
	int fd = dial(dest, port);
	char c;
	close(ls);
	is_err(recv(fd, &c, 1, 0), ECONNRESET, "%s: the listener closed on a waiting caller", ip);
	close(fd);
}

int main(void)
{
	waiting("127.0.0.1", "127.0.0.1");
	waiting("0.0.0.0", "127.0.0.1");
	waiting("::1", "::1");
	return done();
}
