/* Socket options return what the socket is, the values that were set, and the state of the connection. */
#include "net.h"

static void kind(int fd, const char *ip, const char *what, int listening)
{
	is_int(get_opt(fd, SOL_SOCKET, SO_DOMAIN), family_of(ip), "%s, %s: SO_DOMAIN", ip, what);
	is_int(get_opt(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM, "%s, %s: SO_TYPE", ip, what);
	is_int(get_opt(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP, "%s, %s: SO_PROTOCOL", ip, what);
	is_int(get_opt(fd, SOL_SOCKET, SO_ACCEPTCONN), listening, "%s, %s: SO_ACCEPTCONN", ip, what);
	is_int(get_opt(fd, SOL_SOCKET, SO_ERROR), 0, "%s, %s: SO_ERROR", ip, what);
}

/* The options that a program sets and may ask for again. */
static void asked(int fd, const char *what, int addr, int port, int nodelay, int keepalive)
{
	is_int(get_opt(fd, SOL_SOCKET, SO_REUSEADDR), addr, "%s: SO_REUSEADDR", what);
	is_int(get_opt(fd, SOL_SOCKET, SO_REUSEPORT), port, "%s: SO_REUSEPORT", what);
	is_int(get_opt(fd, IPPROTO_TCP, TCP_NODELAY), nodelay, "%s: TCP_NODELAY", what);
	is_int(get_opt(fd, SOL_SOCKET, SO_KEEPALIVE), keepalive, "%s: SO_KEEPALIVE", what);
	is_int(get_opt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 0, "%s: IP_BIND_ADDRESS_NO_PORT", what);
}

static void life(const char *ip)
{
	int ls = tcp(ip), fd = tcp(ip);
	kind(ls, ip, "fresh", 0);
	is_int(tcp_state(ls), TCP_CLOSE, "%s: TCP_INFO of a fresh socket", ip);
	if (bind_to(ls, ip, 0) < 0)
		bail("bind");
	kind(ls, ip, "bound", 0);
	is_int(tcp_state(ls), TCP_CLOSE, "%s: TCP_INFO of a bound socket", ip);
	if (listen(ls, 8) < 0)
		bail("listen");
	kind(ls, ip, "listening", 1);
	is_int(tcp_state(ls), TCP_LISTEN, "%s: TCP_INFO of a listener", ip);

	if (connect_to(fd, ip, port_of(ls)) < 0)
		bail("connect");
	int accepted = take(ls);
	kind(fd, ip, "dialed", 0);
	kind(accepted, ip, "accepted", 0);
	is_int(tcp_state(fd), TCP_ESTABLISHED, "%s: TCP_INFO of a dialer", ip);
	is_int(tcp_state(accepted), TCP_ESTABLISHED, "%s: TCP_INFO of an accepted socket", ip);
	asked(ls, "nothing set: listener", 0, 0, 0, 0);
	asked(fd, "nothing set: dialer", 0, 0, 0, 0);
	asked(accepted, "nothing set: accepted", 0, 0, 0, 0);
	shutdown(fd, SHUT_WR);
	wait_for(accepted, POLLRDHUP);
	is_int(tcp_state(accepted), TCP_CLOSE_WAIT, "%s: TCP_INFO when the peer has closed", ip);
	wait_for_state(fd, TCP_FIN_WAIT2);
	kind(fd, ip, "half-closed", 0);
	close(fd);
	close(accepted);
	close(ls);
}

int main(void)
{
	life("127.0.0.1");
	life("::1");
	life("::ffff:127.0.0.1");

	/* Options set before are read back after each step, and inherited by what is accepted. */
	int ls = tcp("127.0.0.1"), fd = tcp("127.0.0.1");
	set_opt(ls, SOL_SOCKET, SO_REUSEADDR, 1);
	set_opt(ls, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_opt(ls, IPPROTO_TCP, TCP_NODELAY, 1);
	asked(ls, "set: fresh", 1, 0, 1, 1);
	if (bind_to(ls, "127.0.0.1", 0) < 0)
		bail("bind");
	asked(ls, "set: bound", 1, 0, 1, 1);
	if (listen(ls, 8) < 0)
		bail("listen");
	asked(ls, "set: listening", 1, 0, 1, 1);
	set_opt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (connect_to(fd, "127.0.0.1", port_of(ls)) < 0)
		bail("connect");
	int accepted = take(ls);
	asked(fd, "set: dialer", 0, 0, 0, 1);
	asked(accepted, "set: accepted", 1, 0, 1, 1);

	/* Options may change later, too. */
	set_opt(ls, SOL_SOCKET, SO_REUSEADDR, 0);
	asked(ls, "taken back: listener", 0, 0, 1, 1);
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	asked(fd, "set after connect: dialer", 1, 0, 0, 1);
	return done();
}
