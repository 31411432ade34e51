/* Which pairs of binds to one port conflict.
 *
 * The first table has the pairs of addresses that overlap. Two sockets whose addresses overlap may still share the port:
 * if both have SO_REUSEPORT, or if both have SO_REUSEADDR and the first does not listen. An option on one side alone
 * never helps. The second table has each combination of options.
 */
#include "net.h"

enum { ADDRESSES = 7 };

static const struct {
	const char *shown, *ip;
	int v6only;
} address[ADDRESSES] = {
	{ "0.0.0.0", "0.0.0.0", 0 },
	{ "127.0.0.1", "127.0.0.1", 0 },
	{ "[::] dual", "::", 0 },
	{ "[::] v6only", "::", 1 },
	{ "[::1]", "::1", 0 },
	{ "[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 0 },
	{ "[::ffff:0.0.0.0]", "::ffff:0.0.0.0", 0 },
};

/* Row: first bound. Column: second bound, in the same order. x: the same port is EADDRINUSE. */
static const char *const overlap[ADDRESSES] = {
	"xxx..xx", /* 0.0.0.0 */
	"xxx..xx", /* 127.0.0.1 */
	"xxxxxxx", /* [::] dual */
	"..xxx..", /* [::] v6only */
	"..xxx..", /* [::1] */
	"xxx..xx", /* [::ffff:127.0.0.1] */
	"xxx..xx", /* [::ffff:0.0.0.0] */
};

enum { ADDR = 1, PORT = 2 }; /* SO_REUSEADDR, SO_REUSEPORT */

static const struct {
	const char *shown;
	int first, second;
	int shared_bound, shared_listening; /* the first is only bound, or listens */
} options[] = {
	{ "no option", 0, 0, 0, 0 },
	{ "SO_REUSEADDR on both", ADDR, ADDR, 1, 0 },
	{ "SO_REUSEADDR on the first", ADDR, 0, 0, 0 },
	{ "SO_REUSEADDR on the second", 0, ADDR, 0, 0 },
	{ "SO_REUSEPORT on both", PORT, PORT, 1, 1 },
	{ "SO_REUSEPORT on the first", PORT, 0, 0, 0 },
	{ "SO_REUSEPORT on the second", 0, PORT, 0, 0 },
	{ "SO_REUSEADDR on the first, SO_REUSEPORT on the second", ADDR, PORT, 0, 0 },
	{ "both options on both", ADDR | PORT, ADDR | PORT, 1, 1 },
	{ "both options on the first, SO_REUSEADDR on the second", ADDR | PORT, ADDR, 1, 0 },
	{ "both options on the first, SO_REUSEPORT on the second", ADDR | PORT, PORT, 1, 1 },
};

static int make(int which, int reuse)
{
	int fd = tcp(address[which].ip);
	if (family_of(address[which].ip) == AF_INET6)
		set_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address[which].v6only);
	set_opt(fd, SOL_SOCKET, SO_REUSEADDR, !!(reuse & ADDR));
	set_opt(fd, SOL_SOCKET, SO_REUSEPORT, !!(reuse & PORT));
	return fd;
}

/* '.' both may have the port, 'x' EADDRINUSE, '?' anything else. */
static char second_bind(int a, int reuse_a, int listening, int b, int reuse_b, int port)
{
	char answer = '.';
	int first = make(a, reuse_a), second = make(b, reuse_b);
	if (bind_to(first, address[a].ip, port) < 0 || (listening && listen(first, 1) < 0))
		bail("the first, %s", address[a].shown);
	if (bind_to(second, address[b].ip, port) < 0)
		answer = errno == EADDRINUSE ? 'x' : '?';
	close(second);
	close(first);
	return answer;
}

int main(void)
{
	int port = own_port();

	for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
		for (int listening = 0; listening < 2; listening++) {
			int shared = listening ? options[o].shared_listening : options[o].shared_bound;
			for (int a = 0; a < ADDRESSES; a++) {
				char got[ADDRESSES + 1] = "";
				for (int b = 0; b < ADDRESSES; b++)
					got[b] = second_bind(a, options[o].first, listening, b, options[o].second, port);
				is_str(got, shared ? "......." : overlap[a], "%s: %s %s, then each address",
				       options[o].shown, address[a].shown, listening ? "listens" : "is bound");
			}
		}
	}
	return done();
}
