/* sendto, sendmsg and sendmmsg with MSG_FASTOPEN dial: without a cookie this is a connect, then the data. */
#include "net.h"

static const char *const ways[] = { "sendto", "sendmsg", "sendmmsg" };

/* Dials with the data; how much of it was sent. */
static long fast(int fd, const union sa *to, const char *how)
{
	struct iovec iov = { (void *)"fast", 4 };
	struct mmsghdr msg = {
		.msg_hdr = { .msg_name = (void *)to, .msg_namelen = len_of(to), .msg_iov = &iov, .msg_iovlen = 1 },
	};
	if (how == ways[2])
		return sendmmsg(fd, &msg, 1, MSG_FASTOPEN | MSG_NOSIGNAL) == 1 ? (long)msg.msg_len : -1;
	return how == ways[1] ? sendmsg(fd, &msg.msg_hdr, MSG_FASTOPEN | MSG_NOSIGNAL)
			      : sendto(fd, "fast", 4, MSG_FASTOPEN | MSG_NOSIGNAL, &to->any, len_of(to));
}

static void fastopen(const char *ip, const char *how)
{
	int ls = listener(ip, 0), port = port_of(ls), fd = tcp(ip), holder = bound(ip, 0);
	union sa to = at(ip, port), closed = at(ip, port_of(holder)), from;
	socklen_t len = sizeof from;
	char got[4] = "";

	is_int(fast(fd, &to, how), 4, "%s %s: dials and sends", ip, how);
	is_str(peername(fd), name(ip, port), "%s %s: its peer", ip, how);
	int accepted = accept(ls, &from.any, &len);
	is_str(text(&from), sockname(fd), "%s %s: accept names it", ip, how);
	is_int(recv(accepted, got, 4, MSG_WAITALL), 4, "%s %s: the data", ip, how);
	ok(!memcmp(got, "fast", 4), "%s %s: is what was sent", ip, how);
	ok(passes(fd, accepted), "%s %s: more bytes", ip, how);
	is_err(connect_to(fd, ip, port), EISCONN, "%s %s: it is connected", ip, how);
	close(fd);
	close(accepted);

	fd = tcp(ip);
	is_err(fast(fd, &closed, how), ECONNREFUSED, "%s %s: a closed port", ip, how);
	is_str(peername(fd), "ENOTCONN", "%s %s: no peer after", ip, how);
	close(fd);

	fd = tcp(ip);
	is_err(sendto(fd, "x", 1, MSG_FASTOPEN, NULL, 0), EINVAL, "%s %s: no address", ip, how);
	close(fd);

	/* TCP_FASTOPEN_CONNECT, as curl uses it. */
	fd = tcp(ip);
	set_opt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	is_err(connect_to(fd, ip, port), 0, "%s: TCP_FASTOPEN_CONNECT: connect", ip);
	is_int(send(fd, "late", 4, MSG_NOSIGNAL), 4, "%s: TCP_FASTOPEN_CONNECT: send", ip);
	accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "%s: TCP_FASTOPEN_CONNECT: its name", ip);
	is_int(recv(accepted, got, 4, MSG_WAITALL), 4, "%s: TCP_FASTOPEN_CONNECT: the data", ip);
	close(fd);
	close(accepted);
	close(holder);
	close(ls);
}

/* The first dials; the next finds that it is connected, and is not sent. */
static void several(const char *ip)
{
	int ls = listener(ip, 0), fd = tcp(ip);
	union sa to = at(ip, port_of(ls));
	struct iovec iov = { (void *)"fast", 4 };
	struct mmsghdr msgs[2];
	memset(msgs, 0, sizeof msgs);
	for (int i = 0; i < 2; i++) {
		msgs[i].msg_hdr.msg_iov = &iov;
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	msgs[0].msg_hdr.msg_name = &to;
	msgs[0].msg_hdr.msg_namelen = len_of(&to);
	is_int(sendmmsg(fd, msgs, 2, MSG_FASTOPEN | MSG_NOSIGNAL), 1, "%s sendmmsg: of two, one dials", ip);
	is_int(msgs[0].msg_len, 4, "%s sendmmsg: and is sent", ip);
	is_str(peername(fd), text(&to), "%s sendmmsg: its peer", ip);
	close(fd);
	close(ls);
}

int main(void)
{
	/* An administrator can turn it off (net.ipv4.tcp_fastopen). */
	int fd = tcp("127.0.0.1");
	if (sendto(fd, "x", 1, MSG_FASTOPEN, NULL, 0) < 0 && errno == EOPNOTSUPP) {
		ok(1, "this machine has fast open turned off # SKIP");
		return done();
	}
	for (int i = 0; i < 3; i++) {
		fastopen("127.0.0.1", ways[i]);
		fastopen("::1", ways[i]);
	}
	several("127.0.0.1");
	several("::1");
	return done();
}
