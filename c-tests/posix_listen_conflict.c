/* Two SO_REUSEADDR sockets may be bound to one port; one of them may listen. */
#include "net.h"

static int reusing(const char *ip, int port)
{
	int fd = tcp(ip);
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind_to(fd, ip, port) < 0)
		bail("bind %s", name(ip, port));
	return fd;
}

static void conflict(const char *ip_a, const char *ip_b)
{
	int port = own_port();
	int a = reusing(ip_a, port), b = reusing(ip_b, port);

	is_err(listen(a, 8), 0, "%s, %s: the first listens", ip_a, ip_b);
	is_err(listen(b, 8), EADDRINUSE, "%s, %s: the second may not", ip_a, ip_b);
	is_err(listen(a, 16), 0, "%s, %s: the first may listen again", ip_a, ip_b);
	is_int(get_opt(b, SOL_SOCKET, SO_ACCEPTCONN), 0, "%s, %s: the second does not listen", ip_a, ip_b);

	int dialed = dial("127.0.0.1", port), accepted = take(a);
	ok(passes(dialed, accepted), "%s, %s: the first serves", ip_a, ip_b);
	is_str(sockname(a), name(ip_a, port), "%s, %s: the first has its name", ip_a, ip_b);
	reset_on_close(dialed);
	close(dialed);
	close(accepted);
	close(a);
	close(b);

	b = reusing(ip_b, port);
	a = reusing(ip_a, port);
	is_err(listen(b, 8), 0, "%s, %s: the second alone may listen", ip_a, ip_b);
	is_err(listen(a, 8), EADDRINUSE, "%s, %s: and then not the first", ip_a, ip_b);
	close(b);
	close(a);
}

int main(void)
{
	conflict("127.0.0.1", "127.0.0.1");
	conflict("0.0.0.0", "0.0.0.0");
	conflict("0.0.0.0", "127.0.0.1");
	conflict("::", "127.0.0.1");
	return done();
}
