/* A program linked with the library keeps its own socket calls until it sets a default host. */
#include "api.h"
#include <netdb.h>

static int resolves(const char *name)
{
	struct addrinfo *list = NULL;
	int code = getaddrinfo(name, "80", NULL, &list);
	if (code == 0)
		freeaddrinfo(list);
	return code == 0;
}

static int dials_by_name(const char *name)
{
	struct addrinfo hints, *list = NULL;
	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_family = AF_INET;
	if (getaddrinfo(name, "80", &hints, &list))
		return -1;
	int fd = socket(AF_INET, SOCK_STREAM, 0), result = connect(fd, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	if (result < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The program's own loopback goes to the machine. */
static void is_native(const char *when)
{
	int l = listener("127.0.0.1", 0), d = dial("127.0.0.1", port_of(l));
	ok(port_of(l) > 1024, "%s: port 0 is the kernel's to choose", when);
	is_str(peername(d), name("127.0.0.1", port_of(l)), "%s: connections stay on the machine", when);
	is_err(lonet_local_addr(d, NULL), EINVAL, "%s: they are not lonet's", when);
	ok(!resolves("α.lonet"), "%s: names are not answered", when);
	close(l);
	close(d);
}

int main(void)
{
	lonet_net *net = joined(NULL), *other = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0), *o = host(other, "β", 0);
	char hostname[100];

	is_native("before");
	is_err(lonet_set_default_host(b), 0, "β is the default");
	int l = tcp("0.0.0.0");
	is_err(bind_to(l, "0.0.0.0", 80), 0, "bind port 80");
	listen(l, 5);
	is_addr(local(l), "β:80", "it is β's");
	int d = dialed(a, "β:80"), s = take(l);
	is_addr(local(s), "β:1", "an accepted connection has its first free port");
	is_int(port_of(s), 1, "as getsockname says, too");
	is_addr(peer(s), "α:1", "its peer");
	close(d);
	close(s);
	d = dial("127.0.0.1", 80);
	is_addr(peer(d), "β:2", "the loopback is β's own");
	struct ends e = accepted(l);
	is_addr(e.local, "β:2", "by name");
	is_addr(e.peer, "β:1", "for both ends");
	is_str(sockname(e.fd), "127.0.0.1:2", "which see a loopback all the same");
	close(d);
	close(e.fd);
	int la = listening(a, ":80");
	d = dials_by_name("α.lonet");
	is_addr(local(d), "β:1", "names of hosts resolve, and connect dials as β");
	close(d);
	gethostname(hostname, sizeof hostname);
	is_str(hostname, "β.lonet", "the host's name");

	is_err(lonet_set_default_host(o), 0, "the β of another network is the default");
	is_int(dials_by_name("α.lonet"), -1, "there is no α");
	int lo = tcp("0.0.0.0");
	is_err(bind_to(lo, "0.0.0.0", 0), 0, "bind port 0");
	is_addr(local(lo), "β:1", "it is that β's first port");
	close(lo);
	lo = tcp("0.0.0.0");
	is_err(bind_to(lo, "0.0.0.0", 0), 0, "closed, and port 0 again");
	is_addr(local(lo), "β:1", "hosts of the C API always get the first free one");
	is_str(addr_text(&(struct lonet_addr){ "", 80 }), ":80", "an address without a host");
	is_addr(local(l), "β:80", "sockets of the other network stay what they are");
	close(lo);
	close(l);
	close(la);

	is_err(lonet_set_default_host(NULL), 0, "no default");
	is_native("after");
	is_err(lonet_set_default_host(a), 0, "α is the default");
	is_err(lonet_host_close(a), 0, "and is closed");
	is_native("after its end");
	is_err(lonet_leave(net), 0, "leaving");
	is_err(lonet_leave(other), 0, "leaving the other");
	return done();
}
