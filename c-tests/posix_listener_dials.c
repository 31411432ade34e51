/* A listener that dials gets EISCONN, whatever the address, and listens as before. */
#include "net.h"

enum whom { ITSELF, ANOTHER, NOBODY };

static void dials(const char *bind_ip, const char *ip, const char *from_ip, enum whom whom)
{
	static const char *words[] = { "itself", "another listener", "nobody" };
	int other = listener(ip, 0), closed = bound(ip, 0), port = own_port(), ls = listener(bind_ip, port);
	int to = whom == ITSELF ? port : port_of(whom == ANOTHER ? other : closed);
	char what[80];
	snprintf(what, sizeof what, "%s dials %s, %s", bind_ip, ip, words[whom]);

	is_err(connect_to(ls, ip, to), EISCONN, "%s", what);
	is_str(sockname(ls), name(bind_ip, port), "%s: its name is as before", what);
	is_err(dial_error(from_ip, port), 0, "%s: it is reached", what);
	close(take(ls));
	is_err(bind_to(tcp(ip), ip, port), EADDRINUSE, "%s: its port is its own", what);
	is_err(bind_to(tcp(from_ip), from_ip, port), EADDRINUSE, "%s: at %s, too", what, from_ip);
	close(closed);
	close(other);
	close(ls);
}

int main(void)
{
	for (enum whom whom = ITSELF; whom <= NOBODY; whom++) {
		dials("127.0.0.1", "127.0.0.1", "127.0.0.1", whom);
		dials("::1", "::1", "::1", whom);
		dials("::", "::ffff:127.0.0.1", "::1", whom);
		dials("::", "::1", "127.0.0.1", whom);
		dials("0.0.0.0", "127.0.0.1", "::ffff:127.0.0.1", whom);
	}
	return done();
}
