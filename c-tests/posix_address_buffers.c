/* Address buffers that are missing, short or invalid: the truth table of each call. */
#include "net.h"

static int ls, fd, accepted, notsock, unconnected;
typedef __typeof__(getsockname) name_call;

/* getsockname, getpeername; accept has a connection waiting each time. */
static void outputs(const char *what, name_call *call, int target, int accepting)
{
	union sa full, a;
	socklen_t len = sizeof full;
	int got;

	if (accepting)
		dial("127.0.0.1", port_of(ls));
	is_int((got = call(target, &full.any, &len)) < 0, 0, "%s: a whole buffer", what);
	is_int(len, 16, "%s: its length", what);
	is_int(full.v4.sin_family, AF_INET, "%s: its family", what);
	is_int(full.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK), "%s: its address", what);

	static const socklen_t lengths[] = { 0, 1, 2, 4, 8, 15, 16, 17, 128, 4096 };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		unsigned char room[4096], untouched[4096];
		size_t copied = lengths[i] < 16 ? lengths[i] : 16;
		memset(room, 0xAA, sizeof room);
		memset(untouched, 0xAA, sizeof untouched);
		len = lengths[i];
		if (accepting)
			dial("127.0.0.1", port_of(ls));
		is_int((got = call(target, (struct sockaddr *)room, &len)) < 0, 0, "%s: length %u", what, lengths[i]);
		is_int(len, 16, "%s: length %u: the full length comes back", what, lengths[i]);
		memcpy(&a, room, 16);
		/* An accepted connection has a port of its own each time; the address is the same. */
		if (accepting && copied == 16)
			ok(a.v4.sin_addr.s_addr == full.v4.sin_addr.s_addr, "%s: length %u: address", what, lengths[i]);
		else
			ok(accepting || !memcmp(room, &full, copied), "%s: length %u: what fits", what, lengths[i]);
		ok(!memcmp(room + copied, untouched, sizeof room - copied), "%s: length %u: and no more", what, lengths[i]);
	}

	static const struct { const char *shown; int address, length, want; } wrong[] = {
		{ "no address", 0, 16, EFAULT },
		{ "no address, length 0", 0, 0, 0 },
		{ "no length", 1, -2, EFAULT },
		{ "length -1", 1, -1, EINVAL },
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		len = (socklen_t)wrong[i].length;
		if (accepting)
			dial("127.0.0.1", port_of(ls));
		/* accept without an address asks for none. */
		int want = accepting && !wrong[i].address ? 0 : wrong[i].want;
		is_err(call(target, wrong[i].address ? &a.any : NULL, wrong[i].length == -2 ? NULL : &len), want,
		       "%s: %s", what, wrong[i].shown);
		if (accepting)
			ok(!ready(ls, POLLIN), "%s: %s: the connection is taken all the same", what, wrong[i].shown);
	}
	if (accepting) {
		dial("127.0.0.1", port_of(ls));
		is_int((got = call(target, NULL, NULL)) < 0, 0, "%s: neither", what);
	}

	len = sizeof a;
	is_err(call(-1, &a.any, &len), EBADF, "%s: descriptor -1", what);
	is_err(call(9999, &a.any, &len), EBADF, "%s: a descriptor that is not open", what);
	is_err(call(notsock, &a.any, &len), ENOTSOCK, "%s: no socket", what);
	is_err(call(-1, NULL, NULL), EBADF, "%s: descriptor -1 and no buffer", what);
	is_err(call(notsock, NULL, NULL), ENOTSOCK, "%s: no socket and no buffer", what);
}

/* bind and connect; each case by a fresh socket. */
static void inputs(const char *what, __typeof__(bind) *call)
{
	static const struct { const char *ip, *shown; int pointer, length, want; } cases[] = {
		{ "127.0.0.1", "no address", 0, 16, EFAULT },
		{ "127.0.0.1", "no address, length 0", 0, 0, EINVAL },
		{ "127.0.0.1", "no address, length -1", 0, -1, EINVAL },
		{ "127.0.0.1", "length 0", 1, 0, EINVAL },
		{ "127.0.0.1", "length 1", 1, 1, EINVAL },
		{ "127.0.0.1", "length 2", 1, 2, EINVAL },
		{ "127.0.0.1", "length 3", 1, 3, EINVAL },
		{ "127.0.0.1", "length 15", 1, 15, EINVAL },
		{ "127.0.0.1", "length -1", 1, -1, EINVAL },
		{ "127.0.0.1", "length 129", 1, 129, EINVAL },
		{ "127.0.0.1", "length 17", 1, 17, 0 },
		{ "127.0.0.1", "length 128", 1, 128, 0 },
		{ "::1", "length 16", 1, 16, EINVAL },
		{ "::1", "length 23", 1, 23, EINVAL },
		{ "::1", "length 24, as of RFC 2133", 1, 24, 0 },
		{ "::1", "length 28", 1, 28, 0 },
		{ "::1", "length 128", 1, 128, 0 },
	};
	int ls6 = listener("::1", 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int s = tcp(cases[i].ip), serving = family_of(cases[i].ip) == AF_INET ? ls : ls6;
		union sa a = at(cases[i].ip, call == bind ? 0 : port_of(serving));
		is_err(call(s, cases[i].pointer ? &a.any : NULL, (socklen_t)cases[i].length), cases[i].want,
		       "%s %s: %s", what, cases[i].ip, cases[i].shown);
		close(s);
	}
	union sa a = at("127.0.0.1", 0);
	is_err(call(-1, &a.any, 16), EBADF, "%s: descriptor -1", what);
	is_err(call(-1, NULL, 16), EBADF, "%s: descriptor -1 and no address", what);
	is_err(call(notsock, &a.any, 16), ENOTSOCK, "%s: no socket", what);
	/* Here the two differ: connect reads the address first. */
	is_err(call(notsock, NULL, 16), call == bind ? ENOTSOCK : EFAULT, "%s: no socket and no address", what);
	close(ls6);
}

int main(void)
{
	ls = listener("127.0.0.1", 0);
	fd = dial("127.0.0.1", port_of(ls));
	accepted = take(ls);
	notsock = open("/dev/null", O_RDWR);
	unconnected = tcp("127.0.0.1");
	socklen_t len = sizeof(union sa);
	union sa a;

	outputs("getsockname", getsockname, fd, 0);
	outputs("getpeername", getpeername, accepted, 0);
	outputs("accept", accept, ls, 1);
	is_err(getpeername(unconnected, NULL, NULL), ENOTCONN, "getpeername: not connected comes before no buffer");
	is_err(accept(unconnected, &a.any, &len), EINVAL, "accept: not listening");
	is_err(listen(-1, 1), EBADF, "listen: descriptor -1");
	is_err(listen(notsock, 1), ENOTSOCK, "listen: no socket");
	inputs("bind", bind);
	inputs("connect", connect);
	return done();
}
