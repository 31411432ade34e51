/* getsockopt(SO_PEERNAME) returns the same address as getpeername. */
#include "net.h"

#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif

static void peer(const char *ip)
{
	int ls = listener(ip, 0), fd = tcp(ip);
	union sa a, b;
	socklen_t len = sizeof a, len_b;
	memset(&a, 0, sizeof a);
	is_err(getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &a, &len), ENOTCONN, "%s: not connected", ip);
	if (connect_to(fd, ip, port_of(ls)) < 0)
		bail("connect");
	int accepted = take(ls), both[2] = { fd, accepted };
	for (int i = 0; i < 2; i++) {
		const char *who = i ? "accepted" : "dialed";
		len = len_b = sizeof b;
		memset(&a, 0, sizeof a);
		if (getpeername(both[i], &b.any, &len_b) < 0)
			bail("getpeername");
		/* The option takes no buffer that is larger than the name. */
		is_err(getsockopt(both[i], SOL_SOCKET, SO_PEERNAME, &a, &len), EINVAL, "%s: %s: too much room", ip, who);
		len = len_b;
		is_err(getsockopt(both[i], SOL_SOCKET, SO_PEERNAME, &a, &len), 0, "%s: %s: SO_PEERNAME", ip, who);
		is_int(len, len_b, "%s: %s: its length", ip, who);
		is_str(text(&a), text(&b), "%s: %s: is getpeername's", ip, who);
		memset(&a, '#', sizeof a);
		len = 4;
		is_err(getsockopt(both[i], SOL_SOCKET, SO_PEERNAME, &a, &len), 0, "%s: %s: room for 4 bytes", ip, who);
		ok(len == 4 && !memcmp(&a, &b, 4) && ((char *)&a)[4] == '#', "%s: %s: 4 bytes are filled", ip, who);
	}
	close(fd);
	close(accepted);
	close(ls);
}

int main(void)
{
	peer("127.0.0.1");
	peer("::1");
	peer("::ffff:127.0.0.1");
	return done();
}
