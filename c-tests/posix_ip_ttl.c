/* IP_TTL and IP_MINTTL read back as the program has set them, and have their effect. */
#include "net.h"
#ifndef IP_MINTTL
#define IP_MINTTL 21
#endif

static int initial; /* the TTL of a socket whose program has set none */

static void are(int fd, int ttl, int least, const char *what)
{
	is_int(get_opt(fd, IPPROTO_IP, IP_TTL), ttl, "%s: IP_TTL", what);
	is_int(get_opt(fd, IPPROTO_IP, IP_MINTTL), least, "%s: IP_MINTTL", what);
}

static void set(int fd, int ttl, int least)
{
	set_opt(fd, IPPROTO_IP, IP_TTL, ttl);
	set_opt(fd, IPPROTO_IP, IP_MINTTL, least);
}

static void arrives(int from, int to, const char *what)
{
	char c = 0;
	if (send(from, "x", 1, 0) != 1)
		bail("send");
	wait_for(to, POLLIN);
	ok(recv(to, &c, 1, MSG_DONTWAIT) == 1 && c == 'x', "%s", what);
}

/* A listener and a dialer of which these are set before they have an address: 0, 0 for neither. */
static void life(const char *ip, int ttl, int least, const char *what)
{
	int ls = tcp(ip), fd = tcp(ip), shown = ttl ? ttl : initial;
	if (ttl) {
		set(ls, ttl, least);
		set(fd, ttl, least);
	}
	are(ls, shown, least, what);
	if (bind_to(ls, ip, 0) < 0)
		bail("bind");
	are(ls, shown, least, what);
	if (listen(ls, 8) < 0 || connect_to(fd, ip, port_of(ls)) < 0)
		bail("listen, connect");
	int accepted = take(ls);
	are(ls, shown, least, what);
	are(fd, shown, least, what);
	are(accepted, shown, least, what);
	arrives(fd, accepted, what);
	arrives(accepted, fd, what);

	/* While it is connected. */
	static const int values[] = { 2, 3, 64, 100, 253, 254, 255 };
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		set(fd, values[i], 0);
		are(fd, values[i], 0, "set when connected");
		set(accepted, 255, values[i]);
		are(accepted, 255, values[i], "set when accepted");
		arrives(fd, accepted, "as much as is wanted passes");
		arrives(accepted, fd, "and back");
	}
	set(accepted, 1, 0);
	set(fd, 1, 1);
	are(fd, 1, 1, "the least");
	arrives(fd, accepted, "with the least TTL");
	arrives(accepted, fd, "and back");
	close(fd);
	close(accepted);
	close(ls);
}

int main(void)
{
	int fd = tcp("127.0.0.1"), ls = tcp("127.0.0.1"), value;
	initial = get_opt(fd, IPPROTO_IP, IP_TTL);
	life("127.0.0.1", 0, 0, "nothing set");
	life("::ffff:127.0.0.1", 0, 0, "nothing set, v4-mapped");
	life("127.0.0.1", 1, 0, "the least TTL");
	life("127.0.0.1", 100, 50, "set");
	life("127.0.0.1", 255, 255, "the most");

	/* What is no value is refused, and leaves what was set. */
	if (bind_to(ls, "127.0.0.1", 0) < 0 || listen(ls, 8) < 0 || connect_to(fd, "127.0.0.1", port_of(ls)) < 0)
		bail("a connection");
	set(fd, 77, 33);
	static const int bad[] = { 0, 256, -2 };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		is_err(setsockopt(fd, IPPROTO_IP, IP_TTL, &bad[i], sizeof bad[i]), EINVAL, "IP_TTL %d", bad[i]);
	value = 256;
	is_err(setsockopt(fd, IPPROTO_IP, IP_MINTTL, &value, sizeof value), EINVAL, "IP_MINTTL 256");
	are(fd, 77, 33, "after what was refused");

	/* A byte is enough. */
	unsigned char byte = 9;
	is_err(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1), 0, "IP_TTL as a byte");
	byte = 0;
	socklen_t len = 1;
	is_err(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &len), 0, "to ask for a byte");
	is_int(byte, 9, "it is the value");
	is_int((int)len, 1, "and one byte");

	set_opt(fd, IPPROTO_IP, IP_TTL, -1);
	are(fd, initial, 33, "-1 is the system's own");
	return done();
}
