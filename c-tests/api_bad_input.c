/* Invalid arguments are refused with an errno and a message, and nothing is left behind. */
#include "api.h"

static lonet_net *net;
static lonet_host *a;
static int free_fd;

/* Checks errno, that there is a message, and that no descriptor was left open. */
#define bad(call, want, what) \
	do { \
		is_err(call, want, "%s: %s", #call, what); \
		ok(*lonet_errmsg(), "it says: %s", lonet_errmsg()); \
		is_int(lowest_free(), free_fd, "no descriptor is left"); \
	} while (0)

int main(void)
{
	char name[400];
	net = joined("bad-input");
	is_str(lonet_network(net), "lonetbad-input", "the network's full name");
	a = host(net, "α", 0);
	int l = listening(a, ":1"), plain = socket(AF_INET, SOCK_STREAM, 0), file = open("/dev/null", O_RDONLY);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	free_fd = lowest_free();

	bad(lonet_join("a/b", NULL), EINVAL, "no name of a network");
	bad(lonet_join("..", NULL), EINVAL, "no name of a network");
	bad(lonet_join("a b", NULL), EINVAL, "no name of a network");
	bad(lonet_join("\xff", NULL), EINVAL, "not UTF-8");
	memset(name, 'n', 399);
	name[399] = 0;
	bad(lonet_join(name, NULL), EINVAL, "too long");

	lonet_net *no_net = (lonet_net *)name;
	lonet_host *no_host = (lonet_host *)name, *out = no_host;
	bad(lonet_leave(NULL), EINVAL, "NULL");
	bad(lonet_leave(no_net), EINVAL, "no handle");
	bad(lonet_leave((lonet_net *)a), EINVAL, "a host's handle");
	ok(lonet_network(NULL) == NULL && errno == EINVAL, "no network's name");
	ok(lonet_host_name(no_host) == NULL && errno == EINVAL, "no host's name");

	bad(lonet_host_new(NULL, "β", 0, &out), EINVAL, "NULL");
	bad(lonet_host_new(net, NULL, 0, &out), EINVAL, "NULL");
	bad(lonet_host_new(net, "", 0, &out), EINVAL, "empty");
	bad(lonet_host_new(net, name, 0, &out), EINVAL, "over 255 bytes");
	name[255] = 0;
	bad(lonet_host_new(net, name, 0, &out), EINVAL, "255 bytes, too long for a name of ours");
	bad(lonet_host_new(net, "a\xff", 0, &out), EINVAL, "not UTF-8");
	bad(lonet_host_new(net, "a.b", 0, &out), EINVAL, "a dot");
	bad(lonet_host_new(net, "a:b", 0, &out), EINVAL, "a colon");
	bad(lonet_host_new(net, "a b", 0, &out), EINVAL, "a space");
	bad(lonet_host_new(net, "β", 4, &out), EINVAL, "unknown flags");
	bad(lonet_host_new(net, "α", 0, &out), EEXIST, "taken");
	bad(lonet_host_new(net, "Α", 0, &out), EEXIST, "taken, in capitals");
	ok(out == no_host, "no output was written");

	bad(lonet_listen(NULL, "", 1), EINVAL, "NULL");
	bad(lonet_listen((lonet_host *)net, "", 1), EINVAL, "a network's handle");
	bad(lonet_listen(a, NULL, 1), EINVAL, "NULL");
	bad(lonet_listen(a, "10", 1), EINVAL, "no port");
	bad(lonet_listen(a, "a:b:c", 1), EINVAL, "colons");
	bad(lonet_listen(a, ":65536", 1), EINVAL, "port 65536");
	bad(lonet_listen(a, ":-1", 1), EINVAL, "a negative port");
	bad(lonet_listen(a, "\xff:1", 1), EINVAL, "not UTF-8");
	bad(lonet_listen(a, ":1", 1), EADDRINUSE, "held");
	bad(lonet_listen(a, "β:1", 1), EADDRNOTAVAIL, "another's");

	bad(lonet_dial(NULL, ":1", -1), EINVAL, "NULL");
	bad(lonet_dial(a, NULL, -1), EINVAL, "NULL");
	bad(lonet_dial(a, "", -1), EINVAL, "empty");
	bad(lonet_dial(a, "α:65536", -1), EINVAL, "port 65536");
	bad(lonet_dial(a, "\xff:1", -1), EINVAL, "not UTF-8");
	bad(lonet_dial(a, "a b:1", -1), EHOSTUNREACH, "no host can be called so");
	name[255] = ':', name[256] = '1', name[257] = 0;
	bad(lonet_dial(a, name, -1), EHOSTUNREACH, "255 bytes: nobody is called so");
	bad(lonet_dial_start(a, NULL), EINVAL, "NULL");
	bad(lonet_dial_start(NULL, ":1"), EINVAL, "NULL");

	const int flags = SOCK_NONBLOCK;
	bad(lonet_accept(-1, flags, NULL, NULL), EBADF, "no descriptor");
	bad(lonet_accept(999, flags, NULL, NULL), EBADF, "no descriptor");
	bad(lonet_accept(file, flags, NULL, NULL), ENOTSOCK, "a file");
	bad(lonet_accept(plain, flags, NULL, NULL), EINVAL, "a plain socket");
	bad(lonet_accept(unix_fd, flags, NULL, NULL), EINVAL, "a Unix socket");
	bad(lonet_accept(udp, flags, NULL, NULL), EINVAL, "UDP");
	bad(lonet_accept(l, 12345, NULL, NULL), EINVAL, "unknown flags");
	int d = dialed(a, ":1"), s = lonet_accept(l, 0, NULL, NULL);
	free_fd = lowest_free();
	bad(lonet_accept(s, flags, NULL, NULL), EINVAL, "a connection");

	struct lonet_addr addr = { "before", 7 };
	bad(lonet_local_addr(-1, &addr), EBADF, "no descriptor");
	bad(lonet_local_addr(file, &addr), ENOTSOCK, "a file");
	bad(lonet_local_addr(plain, &addr), EINVAL, "a plain socket");
	bad(lonet_local_addr(unix_fd, &addr), EINVAL, "a Unix socket");
	bad(lonet_peer_addr(udp, &addr), EINVAL, "UDP");
	bad(lonet_peer_addr(l, &addr), ENOTCONN, "a listener");
	if (bind_to(plain, "127.0.0.1", 0) < 0 || listen(plain, 1) < 0)
		bail("a plain listener");
	bad(lonet_local_addr(plain, &addr), EINVAL, "a plain listener");
	bad(lonet_accept(plain, flags, NULL, NULL), EINVAL, "a plain listener");
	ok(!strcmp(addr.host, "before") && addr.port == 7, "no output was written");
	is_err(lonet_local_addr(d, NULL), 0, "an output may be NULL");

	bad(lonet_set_default_host(no_host), EINVAL, "no handle");
	is_err(lonet_host_new(net, "δ", 0, NULL), 0, "a host without a handle");
	ok(lonet_dial(a, "δ:1", -1) < 0 && errno == ECONNREFUSED, "is up");
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
