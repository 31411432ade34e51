/* Which ports are held, and when they are free again. */
#include "api.h"

/* The port that the next listener of h gets. */
static int next_port(lonet_host *h)
{
	struct lonet_addr a;
	int fd = listening(h, "");
	if (lonet_local_addr(fd, &a) < 0)
		bail("lonet_local_addr: %s", lonet_errmsg());
	close(fd);
	return a.port;
}

int main(void)
{
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "a", 0), *b = host(net, "b", 0), *t = host(net, "t", LONET_TCP_PORTS);
	const char *n = lonet_network(net);
	int fds[20];

	int l = listening(a, ":10");
	is_fail(lonet_listen(a, ":10", 1), EADDRINUSE, "listen %s a:10: address already in use", n);
	is_fail(lonet_listen(a, "b:11", 1), EADDRNOTAVAIL, "listen %s b:11: not an address of this host", n);
	is_addr(local(listening(a, "a:12")), "a:12", "its own name is taken");
	int capitals = listening(a, "A.lonet:13");
	is_addr(local(capitals), "a:13", "also in capitals");
	close(capitals);
	lonet_host *greek = host(net, "α", 0);
	is_addr(local(listening(greek, "Α:80")), "α:80", "in any script");
	is_addr(local(listening(greek, "xn--mxa:81")), "α:81", "or in its xn-- form");
	is_fail(lonet_listen(greek, "xn--nxa:82", 1), EADDRNOTAVAIL, "listen %s xn--nxa:82: not an address of this host", n);
	is_addr(local(listening(b, ":10")), "b:10", "another host has ports of its own");
	close(l);
	l = lonet_listen(a, ":10", 1);
	is_addr(local(l), "a:10", "a closed listener's port is free");
	close(l);

	/* A hole far up is found at once. */
	for (int i = 0; i < 20; i++)
		fds[i] = listening(a, "");
	is_addr(local(fds[14]), "a:16", "20 listeners go around the one on 12");
	close(fds[14]);
	is_int(next_port(a), 16, "the port of a closed listener in the middle is the first free one");
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	is_int(next_port(a), 1, "and all of them are free again");

	/* The same for connections, on both hosts, by any way of closing. */
	l = listening(a, ":100");
	int c[12], s[12];
	for (int i = 0; i < 12; i++) {
		c[i] = dialed(b, "a:100");
		s[i] = accepted(l).fd;
	}
	is_addr(peer(c[11]), "a:13", "the twelfth accepted end goes around the listener on 12");
	int copy = dup(c[9]);
	close(c[9]);
	is_int(next_port(b), 14, "a copy of the descriptor holds the port");
	close(copy);
	close(s[9]);
	/* No hook sees the close of a copy, and the port is not among the lowest: the kernel's word comes a little later. */
	for (int tries = 0; tries < 1000 && next_port(b) != 11; tries++)
		poll(NULL, 0, 1);
	is_int(next_port(b), 11, "its close frees it");
	is_int(next_port(a), 11 - 1, "and that of the accepted end");
	for (int i = 0; i < 12; i++)
		if (i != 9) {
			if (dup2(0, c[i]) < 0)
				bail("dup2");
			close(c[i]);
			FILE *f = fdopen(s[i], "r");
			fclose(f);
		}
	is_int(next_port(b), 1, "dup2 over a descriptor frees its port");
	is_int(next_port(a), 1, "and fclose");

	/* Connections that nobody accepts. */
	int d = dialed(b, "a:100");
	is_addr(peer(d), "a:1", "a connection in the queue has its port");
	is_int(next_port(a), 2, "which is held");
	close(l);
	is_int(next_port(a), 1, "until the listener closes, and the connection with it");
	close(d);
	l = listening(a, ":100");
	d = dialed(b, "a:100");
	close(d);
	is_int(next_port(b), 1, "a dialer that goes frees its port");
	struct ends e = accepted(l);
	is_addr(e.local, "a:1", "accepted after the dialer has gone: the port it was told");
	is_addr(e.peer, "b:1", "and the dialer's name");
	close(e.fd);
	is_int(next_port(a), 1, "the port is free again");
	close(l);

	/* A connection that waits when its host is closed, its dialer gone. */
	lonet_host *q = host(net, "q", 0);
	listening(q, ":100");
	close(dialed(b, "q:100"));
	is_err(lonet_host_close(q), 0, "closing a host with a connection in a queue");
	is_err(lonet_dial(b, "q:100", -1), EHOSTUNREACH, "nothing of it is left");
	is_int(next_port(q = host(net, "q", 0)), 1, "its ports are free when its name is given again");

	/* A host that dials itself. */
	l = listening(a, "");
	d = dialed(a, ":1");
	e = accepted(l);
	is_addr(local(d), "a:2", "its own dialer's port");
	is_addr(e.local, "a:3", "the accepted end has the next");
	is_addr(e.peer, "a:2", "and sees the dialer");
	close(d);
	close(e.fd);
	close(l);

	/* TCP's ports. */
	l = listening(t, ":80");
	d = dialed(b, "t:80");
	e = accepted(l);
	is_addr(peer(d), "t:80", "LONET_TCP_PORTS: the peer has the listener's port");
	is_addr(e.local, "t:80", "the accepted end has it");
	is_int(next_port(t), 1, "and no other");
	close(d);
	close(e.fd);
	close(l);

	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
