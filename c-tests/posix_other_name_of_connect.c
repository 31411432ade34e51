/* __connect, libc's other name for connect, behaves as connect: it connects, both ends have their
 * addresses, and it is refused alike. */
#include "net.h"

int __connect(int, const struct sockaddr *, socklen_t);

static void dials(const char *ip)
{
	int ls = listener(ip, 0), fd = tcp(ip), closed = bound(ip, 0), lost = tcp(ip);
	union sa to = at(ip, port_of(ls)), nowhere = at(ip, port_of(closed));

	is_err(__connect(fd, &to.any, len_of(&to)), 0, "%s: arrives", ip);
	is_str(peername(fd), text(&to), "%s: its peer", ip);
	int accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "%s: its name at the other end", ip);
	ok(passes(fd, accepted), "%s: bytes", ip);
	is_err(__connect(fd, &to.any, len_of(&to)), EISCONN, "%s: it is connected", ip);
	is_err(__connect(lost, &nowhere.any, len_of(&nowhere)), ECONNREFUSED, "%s: refused where nobody listens", ip);
	close(ls);
	close(fd);
	close(closed);
	close(lost);
	close(accepted);
}

int main(void)
{
	dials("127.0.0.1");
	dials("::1");
	return done();
}
