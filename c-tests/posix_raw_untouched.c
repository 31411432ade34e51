/* A raw socket of TCP's protocol is no TCP socket: bind and connect take it where they are told to. */
#include "net.h"

static void raw(const char *ip)
{
	union sa to = at(ip, 80), here = at(ip, 0);
	char want[64];
	snprintf(want, sizeof want, "%s", name(ip, IPPROTO_TCP));
	int fd = socket(family_of(ip), SOCK_RAW, IPPROTO_TCP);
	is_err(connect(fd, &to.any, len_of(&to)), 0, "%s: connect", ip);
	is_str(sockname(fd), want, "it is there");
	is_str(peername(fd), name(ip, 80), "and so is its peer");
	close(fd);
	fd = socket(family_of(ip), SOCK_RAW, IPPROTO_TCP);
	is_err(bind(fd, &here.any, len_of(&here)), 0, "%s: bind", ip);
	is_str(sockname(fd), want, "it is there");
	close(fd);
}

int main(void)
{
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	if (fd < 0) {
		ok(1, "this user may not make raw sockets # SKIP");
		return done();
	}
	close(fd);
	raw("127.0.0.1");
	raw("::1");
	return done();
}
