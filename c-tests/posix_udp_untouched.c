/* UDP on loopback: datagrams arrive with their sender's address; connect sets a peer, AF_UNSPEC removes
 * it. */
#include "net.h"

static int udp(const char *ip)
{
	int fd = socket(family_of(ip), SOCK_DGRAM, 0);
	if (fd < 0)
		bail("socket");
	return fd;
}

static void echo(const char *ip, const char *dest)
{
	int server = udp(ip), client = udp(dest);
	char buf[16];
	is_str(sockname(server), name(family_of(ip) == AF_INET ? "0.0.0.0" : "::", 0), "%s: before bind", ip);
	is_err(bind_to(server, ip, 0), 0, "%s: bind", ip);
	is_err(bind_to(client, dest, 0), 0, "%s: bind the client", ip);
	int port = port_of(server);
	is_str(sockname(server), name(ip, port), "%s: the server's name", ip);

	union sa to = at(dest, port), from;
	socklen_t len = sizeof from;
	is_int(sendto(client, "hello", 5, 0, &to.any, len_of(&to)), 5, "%s: sendto", ip);
	is_int(recvfrom(server, buf, sizeof buf, 0, &from.any, &len), 5, "%s: recvfrom", ip);
	is_str(text(&from), sockname(client), "%s: names the sender", ip);
	is_int(sendto(server, "olleh", 5, 0, &from.any, len), 5, "%s: answer", ip);
	len = sizeof from;
	is_int(recvfrom(client, buf, sizeof buf, 0, &from.any, &len), 5, "%s: arrives", ip);
	is_str(text(&from), name(dest, port), "%s: from the server's name", ip);

	is_str(peername(client), "ENOTCONN", "%s: no peer before connect", ip);
	is_err(connect_to(client, dest, port), 0, "%s: connect", ip);
	is_str(peername(client), name(dest, port), "%s: fixes a peer", ip);
	is_int(send(client, "1", 1, 0), 1, "%s: send", ip);
	is_int(recv(server, buf, sizeof buf, 0), 1, "%s: arrives", ip);
	is_err(connect_to(client, dest, port), 0, "%s: connect again is allowed", ip);
	is_err(connect(client, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)), 0,
	       "%s: disconnect", ip);
	is_str(peername(client), "ENOTCONN", "%s: no peer after", ip);
	is_err(send(client, "1", 1, 0), EDESTADDRREQ, "%s: send needs an address again", ip);

	is_err(listen(server, 1), EOPNOTSUPP, "%s: listen", ip);
	is_err(accept(server, NULL, NULL), EOPNOTSUPP, "%s: accept", ip);
	close(server);
	close(client);
}

int main(void)
{
	echo("127.0.0.1", "127.0.0.1");
	echo("0.0.0.0", "127.0.0.1");
	echo("::1", "::1");

	/* A dialer that is not bound gets a port by connect, or by its first datagram. */
	int server = udp("127.0.0.1"), client = udp("127.0.0.1"), other = udp("127.0.0.1");
	if (bind_to(server, "127.0.0.1", 0) < 0)
		bail("bind");
	union sa to = at("127.0.0.1", port_of(server)), from;
	socklen_t len = sizeof from;
	char c;
	is_err(connect_to(client, "127.0.0.1", port_of(server)), 0, "autobind by connect");
	is_str(sockname(client), name("127.0.0.1", port_of(client)), "has an address");
	ok(port_of(client) > 0, "and a port");
	is_int(sendto(other, "x", 1, 0, &to.any, len_of(&to)), 1, "autobind by sendto");
	ok(port_of(other) > 0 && port_of(other) != port_of(client), "has a port of its own");
	is_int(recvfrom(server, &c, 1, 0, &from.any, &len), 1, "its datagram arrives");
	is_str(text(&from), name("127.0.0.1", port_of(other)), "under that port");

	/* Ports of UDP and of TCP are different things. */
	int port = own_port(), tcp_listener = listener("127.0.0.1", port), same = udp("127.0.0.1");
	is_err(bind_to(same, "127.0.0.1", port), 0, "a port that TCP holds is free for UDP");
	int third = udp("127.0.0.1");
	is_err(bind_to(third, "127.0.0.1", port), EADDRINUSE, "but not twice");
	close(tcp_listener);
	return done();
}
