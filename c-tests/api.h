/* api.h - the C API in tests: helpers that bail when what they do is not what is tested.
 *
 * Addresses are compared as text, "α:1". is_fail checks a call that is to fail: its errno and its whole message.
 */
#ifndef API_H
#define API_H

#include "net.h"
#include <lonet.h>
#include <sys/un.h>

/* Text of an address, in one of 64 buffers that are used in turn. */
static inline const char *addr_text(const struct lonet_addr *a)
{
	static char ring[64][300];
	static unsigned turn;
	char *out = ring[turn++ % 64];
	if (lonet_addr_format(a, out, 300) < 0)
		bail("lonet_addr_format: %s", lonet_errmsg());
	return out;
}

static inline const char *local(int fd)
{
	struct lonet_addr a;
	return lonet_local_addr(fd, &a) < 0 ? lonet_errmsg() : addr_text(&a);
}

static inline const char *peer(int fd)
{
	struct lonet_addr a;
	return lonet_peer_addr(fd, &a) < 0 ? lonet_errmsg() : addr_text(&a);
}

#define is_addr is_str

/* An accepted connection, and what lonet_accept says of it. */
struct ends {
	int fd;
	const char *local, *peer;
};

static inline struct ends accepted(int lfd)
{
	struct lonet_addr l, p;
	struct ends e = { lonet_accept(lfd, 0, &l, &p), NULL, NULL };
	if (e.fd < 0)
		bail("lonet_accept: %s", lonet_errmsg());
	e.local = addr_text(&l);
	e.peer = addr_text(&p);
	return e;
}

static inline lonet_net *joined(const char *name)
{
	lonet_net *net = NULL;
	if (lonet_join(name, &net) < 0)
		bail("lonet_join: %s", lonet_errmsg());
	return net;
}

static inline lonet_host *host(lonet_net *net, const char *name, int flags)
{
	lonet_host *h = NULL;
	if (lonet_host_new(net, name, flags, &h) < 0)
		bail("lonet_host_new: %s", lonet_errmsg());
	return h;
}

/* The process that serves the network. */
static inline pid_t daemon_of(const lonet_net *net)
{
	struct sockaddr_un at;
	struct ucred by;
	socklen_t len = sizeof by;
	const char *tmp = getenv("TMPDIR");
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	memset(&at, 0, sizeof at);
	at.sun_family = AF_UNIX;
	snprintf(at.sun_path, sizeof at.sun_path, "%s/lonet/%s/control", tmp ? tmp : "/tmp",
	         lonet_network(net) + strlen("lonet"));
	if (connect(fd, (struct sockaddr *)&at, sizeof at) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &by, &len))
		bail("%s: %s", at.sun_path, strerror(errno));
	close(fd);
	return by.pid;
}

static inline int listening(lonet_host *h, const char *laddr)
{
	int fd = lonet_listen(h, laddr, 128);
	if (fd < 0)
		bail("lonet_listen: %s", lonet_errmsg());
	return fd;
}

static inline int dialed(lonet_host *h, const char *addr)
{
	int fd = lonet_dial(h, addr, -1);
	if (fd < 0)
		bail("lonet_dial: %s", lonet_errmsg());
	return fd;
}

/* The lowest free descriptor; equal before and after what must not leak one. */
static inline int lowest_free(void)
{
	int fd = dup(0);
	if (fd < 0)
		bail("dup");
	close(fd);
	return fd;
}

#define is_fail(call, want, ...) api_is_fail((call) < 0 ? errno : 0, (want), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 5, 6))) static inline int
api_is_fail(int got, int want, const char *file, int line, const char *message, ...)
{
	char text[2048];
	va_list args;
	va_start(args, message);
	vsnprintf(text, sizeof text, message, args);
	va_end(args);
	int errno_is = tap_is_err(got, want, file, line, "%s (%s)", text, tap_errno(want));
	return tap_is_str(lonet_errmsg(), text, file, line, "the message: %s", text) && errno_is;
}

#endif
