/* Servers open 0.0.0.0:p and [::]:p with IPV6_V6ONLY, in either order. They are different listeners on one
 * port, each serving its own family, and their options read back as set. */
#include "net.h"

static int half(const char *ip, int port, int reuse)
{
	int fd = tcp(ip);
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, reuse);
	if (family_of(ip) == AF_INET6)
		set_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	is_err(bind_to(fd, ip, port), 0, "bind %s, SO_REUSEADDR %d", ip, reuse);
	is_err(listen(fd, 8), 0, "listen on %s", ip);
	is_int(get_opt(fd, SOL_SOCKET, SO_REUSEADDR), reuse, "%s: SO_REUSEADDR reads back", ip);
	if (family_of(ip) == AF_INET6)
		is_int(get_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1, "%s: IPV6_V6ONLY reads back", ip);
	return fd;
}

static void serves(int ls, int other, const char *ip, const char *face)
{
	int port = port_of(ls), fd = dial(ip, port), accepted = take(ls);
	is_str(peername(accepted), name(face, port_of(fd)), "%s is served by its family's listener", ip);
	is_str(sockname(accepted), name(face, port), "%s: accepted's own name", ip);
	is_str(peername(fd), name(ip, port), "%s: dialer's peer", ip);
	ok(!ready(other, POLLIN), "%s: the other listener saw nothing", ip);
	ok(passes(fd, accepted), "%s: bytes", ip);
	reset_on_close(fd);
	close(fd);
	close(accepted);
}

static void pair(const char *first, const char *second, int reuse)
{
	int port = own_port();
	int a = half(first, port, reuse), b = half(second, port, reuse);
	int v4 = family_of(first) == AF_INET ? a : b, v6 = v4 == a ? b : a;

	is_str(sockname(a), name(first, port), "%s first: its name", first);
	is_str(sockname(b), name(second, port), "%s second: its name", second);
	serves(v4, v6, "127.0.0.1", "127.0.0.1");
	serves(v6, v4, "::1", "::1");
	serves(v4, v6, "::ffff:127.0.0.1", "127.0.0.1");

	int third = tcp("::");
	is_err(bind_to(third, "::", port), EADDRINUSE, "a dual-stack third finds the port taken");
	close(third);

	close(v4);
	is_int(dial_error("127.0.0.1", port), ECONNREFUSED, "without its listener 127.0.0.1 is refused");
	is_int(dial_error("::1", port), 0, "and ::1 is not");
	close(v6);
	is_int(dial_error("::1", port), ECONNREFUSED, "without its listener ::1 is refused");
}

int main(void)
{
	for (int reuse = 0; reuse < 2; reuse++) {
		pair("0.0.0.0", "::", reuse);
		pair("::", "0.0.0.0", reuse);
		pair("127.0.0.1", "::1", reuse);
		pair("::1", "127.0.0.1", reuse);
	}

	int fd = tcp("::");
	set_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	is_err(bind_to(fd, "::ffff:127.0.0.1", 0), EINVAL, "IPV6_V6ONLY: bind to a v4-mapped address");
	is_err(bind_to(fd, "::", 0), 0, "bind to [::]");
	int off = 0;
	is_err(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), EINVAL, "IPV6_V6ONLY is settled by bind");
	int serving = listener("127.0.0.1", 0);
	is_err(connect_to(fd, "::ffff:127.0.0.1", port_of(serving)), ENETUNREACH,
	       "IPV6_V6ONLY: connect to a v4-mapped address");
	return done();
}
