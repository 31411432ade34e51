/* Programs with a resolver of their own: queries sent from a UDP socket to the machine's name server are
 * answered for hosts, by whichever call they are sent, and the answers come from the server's address. So are
 * those sent over TCP. */
#include "resolve.h"
#include <resolv.h>
#include <sys/syscall.h>

static union sa server;
static unsigned char query[300], answer[512];
static int query_len;

/* The first server of resolv.conf. */
static void find_server(void)
{
	char line[256], ip[100] = "127.0.0.1";
	FILE *f = fopen("/etc/resolv.conf", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, " nameserver %99[^ \t\n%%]", ip) == 1)
			break;
	if (f)
		fclose(f);
	server = at(ip, 53);
}

/* A question for β's address, with an id of its own. */
static void make_query(void)
{
	static int id;
	query_len = res_mkquery(ns_o_query, "xn--nxa.lonet", ns_c_in, ns_t_a, NULL, 0, NULL, query, sizeof query);
	if (query_len < 0)
		bail("res_mkquery");
	query[0] = 0x42;
	query[1] = (unsigned char)id++;
	memset(answer, 0, sizeof answer);
}

/* The address in the answer. */
static const char *answered(ssize_t n)
{
	static char ip[64];
	if (n != query_len + 16 || memcmp(answer, query, 2) || answer[7] != 1)
		return "something else";
	return inet_ntop(AF_INET, answer + n - 4, ip, sizeof ip);
}

static int udp(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);
	struct timeval limit = { 10, 0 };
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit))
		bail("socket");
	return fd;
}

int main(void)
{
	const char *ip = address_of("β.lonet", AF_INET), *from_server;
	union sa from;
	socklen_t len = sizeof from;
	find_server();
	from_server = text(&server);

	/* connect, send, recvfrom: c-ares. */
	int fd = udp(server.any.sa_family);
	make_query();
	errno = 4711;
	is_int(connect(fd, &server.any, len_of(&server)), 0, "connect to the name server");
	is_int(errno, 4711, "errno stays as it was");
	is_str(peername(fd), from_server, "getpeername names it");
	is_int(send(fd, query, (size_t)query_len, 0), query_len, "send");
	ssize_t n = recvfrom(fd, answer, sizeof answer, 0, &from.any, &len);
	is_str(answered(n), ip, "the answer is β's address");
	is_str(text(&from), from_server, "from the name server");
	is_int(len, len_of(&server), "with the length of its address");
	make_query();
	is_int(write(fd, query, (size_t)query_len), query_len, "write");
	n = recv(fd, answer, sizeof answer, 0);
	is_str(answered(n), ip, "recv");

	/* sendto without connect; a short buffer for the address. */
	int other = udp(server.any.sa_family);
	make_query();
	is_int(sendto(other, query, (size_t)query_len, 0, &server.any, len_of(&server)), query_len, "sendto");
	memset(&from, '#', sizeof from);
	len = 4;
	n = recvfrom(other, answer, sizeof answer, 0, &from.any, &len);
	is_str(answered(n), ip, "the answer");
	is_int(len, len_of(&server), "a short address buffer: the whole length");

	/* sendmsg and recvmsg. */
	make_query();
	struct iovec out = { query, (size_t)query_len }, in = { answer, sizeof answer };
	struct msghdr message = { .msg_name = &server, .msg_namelen = len_of(&server), .msg_iov = &out, .msg_iovlen = 1 };
	is_int(sendmsg(other, &message, 0), query_len, "sendmsg");
	message = (struct msghdr){ .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &in, .msg_iovlen = 1 };
	n = recvmsg(other, &message, 0);
	is_str(answered(n), ip, "recvmsg");
	is_str(text(&from), from_server, "names the server");
	is_int(message.msg_namelen, len_of(&server), "with its length");

	/* sendmmsg and recvmmsg. */
	struct mmsghdr several[2] = { 0 };
	make_query();
	several[0].msg_hdr =
		(struct msghdr){ .msg_name = &server, .msg_namelen = len_of(&server), .msg_iov = &out, .msg_iovlen = 1 };
	several[1] = several[0];
	is_int(sendmmsg(other, several, 2, 0), 2, "sendmmsg");
	is_int(several[1].msg_len, query_len, "tells the length of each");
	several[0].msg_hdr = (struct msghdr){ .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &in, .msg_iovlen = 1 };
	memset(&from, '#', sizeof from);
	is_int(recvmmsg(other, several, 1, 0, NULL), 1, "recvmmsg");
	is_str(answered(several[0].msg_len), ip, "the answer");
	is_str(text(&from), from_server, "from the server");
	n = recv(other, answer, sizeof answer, 0);
	is_str(answered(n), ip, "the second answer");

	/* An AF_INET6 socket, as Java has them. */
	if (server.any.sa_family == AF_INET) {
		char mapped[80], v4[64];
		int six = udp(AF_INET6);
		inet_ntop(AF_INET, &server.v4.sin_addr, v4, sizeof v4);
		snprintf(mapped, sizeof mapped, "::ffff:%s", v4);
		union sa to = at(mapped, 53);
		make_query();
		is_int(sendto(six, query, (size_t)query_len, 0, &to.any, len_of(&to)), query_len, "an AF_INET6 socket");
		len = sizeof from;
		n = recvfrom(six, answer, sizeof answer, 0, &from.any, &len);
		is_str(answered(n), ip, "the answer");
		is_str(text(&from), text(&to), "from the v4-mapped address");
	}

	/* Over TCP, with the length in front; two queries in one segment. */
	int tcp = socket(server.any.sa_family, SOCK_STREAM, 0);
	unsigned char lengths[2];
	is_int(connect(tcp, &server.any, len_of(&server)), 0, "connect over TCP");
	is_str(peername(tcp), from_server, "getpeername names the server");
	for (int i = 0; i < 2; i++) {
		make_query();
		lengths[0] = (unsigned char)(query_len >> 8), lengths[1] = (unsigned char)query_len;
		is_int(send(tcp, lengths, 2, MSG_MORE), 2, "a length");
		is_int(send(tcp, query, (size_t)query_len, i == 0 ? MSG_MORE : 0), query_len, "and a query");
	}
	query[1]--;
	for (int i = 0; i < 2; i++, query[1]++) {
		is_int(recv(tcp, lengths, 2, MSG_WAITALL), 2, "the length of the answer");
		n = recv(tcp, answer, (size_t)(lengths[0] << 8 | lengths[1]), MSG_WAITALL);
		is_str(answered(n), ip, "the answer");
	}
	query[1]--;
	is_int(shutdown(tcp, SHUT_WR), 0, "the end of queries");
	is_int(recv(tcp, answer, sizeof answer, 0), 0, "is the end of answers");

	/* Who was not announced gets no answer. */
	union sa stand_in;
	len = sizeof stand_in;
	if (syscall(SYS_getpeername, fd, &stand_in, &len))
		bail("getpeername");
	ok(stand_in.any.sa_family == server.any.sa_family && strcmp(text(&stand_in), from_server),
	   "beneath it is another address (%s)", text(&stand_in));
	int stranger = udp(stand_in.any.sa_family);
	make_query();
	sendto(stranger, query, (size_t)query_len, 0, &stand_in.any, len_of(&stand_in));
	/* In order with it: one that is answered. */
	make_query();
	send(fd, query, (size_t)query_len, 0);
	n = recv(fd, answer, sizeof answer, 0);
	is_str(answered(n), ip, "after a stranger's question others are answered");
	is_int(recv(stranger, answer, sizeof answer, MSG_DONTWAIT), -1, "the stranger's is not");
	int stranger_tcp = socket(stand_in.any.sa_family, SOCK_STREAM, 0);
	if (syscall(SYS_connect, stranger_tcp, &stand_in, len_of(&stand_in)))
		bail("connect");
	is_int(recv(stranger_tcp, answer, 1, 0), 0, "nor is a stranger served over TCP");

	/* Other ports and other servers are what they are. */
	int away = udp(AF_INET), here = udp(AF_INET);
	union sa mine = at("127.0.0.1", 0);
	bind(here, &mine.any, len_of(&mine));
	mine = at("127.0.0.1", port_of(here));
	sendto(away, "x", 1, 0, &mine.any, len_of(&mine));
	is_int(recv(here, answer, sizeof answer, 0), 1, "other datagrams go where they are sent");
	return done();
}
