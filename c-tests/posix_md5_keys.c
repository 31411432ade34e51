/* TCP_MD5SIG: a key for the peer at an address keeps out peers that do not sign, also for loopback
 * addresses, and for prefixes that contain them. */
#include "net.h"

static int set_key(int fd, const char *ip, int prefix, const char *key)
{
	struct tcp_md5sig all;
	union sa a = at(ip, 0);
	memset(&all, 0, sizeof all);
	memcpy(&all.tcpm_addr, &a, sizeof a);
	all.tcpm_keylen = (unsigned short)strlen(key);
	memcpy(all.tcpm_key, key, strlen(key));
	if (prefix >= 0) {
		all.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
		all.tcpm_prefixlen = (unsigned char)prefix;
	}
	return setsockopt(fd, IPPROTO_TCP, prefix < 0 ? TCP_MD5SIG : TCP_MD5SIG_EXT, &all, sizeof all);
}

/* An unsigned dial, and one signed otherwise, get no answer, while a signed one gets through. */
static void keeps_out(const char *listening, const char *peer, int prefix)
{
	const char *what = prefix < 0 ? peer : "a prefix";
	int ls = tcp(listening), port;
	is_err(set_key(ls, peer, prefix, "key1"), 0, "%s, %s: the key is set", listening, what);
	if (bind_to(ls, listening, 0) < 0 || listen(ls, 8) < 0)
		bail("listen");
	port = port_of(ls);
	int unsigned_one = tcp_flags(listening, SOCK_NONBLOCK), wrong = tcp_flags(listening, SOCK_NONBLOCK);
	int right = tcp(listening);
	if (set_key(wrong, listening, -1, "key2") < 0 || set_key(right, listening, -1, "key1") < 0)
		bail("key");
	is_err(connect_to(unsigned_one, listening, port), EINPROGRESS, "%s, %s: unsigned", listening, what);
	is_err(connect_to(wrong, listening, port), EINPROGRESS, "%s, %s: signed with another key", listening, what);
	is_err(connect_to(right, listening, port), 0, "%s, %s: signed", listening, what);
	int fd = take(ls);
	ok(passes(right, fd), "%s, %s: bytes pass", listening, what);
	is_int(tcp_state(unsigned_one), TCP_SYN_SENT, "%s, %s: unsigned, there is no answer", listening, what);
	is_int(tcp_state(wrong), TCP_SYN_SENT, "%s, %s: signed with another key, there is no answer", listening, what);
	is_int(ready(ls, POLLIN), 0, "%s, %s: and nobody else waits", listening, what);

	is_err(set_key(ls, peer, prefix, ""), 0, "%s, %s: the key is taken back", listening, what);
	is_err(set_key(ls, peer, prefix, ""), ENOENT, "%s, %s: and is there no more", listening, what);
	is_int(dial_error(listening, port), 0, "%s, %s: then an unsigned dial gets through", listening, what);
	close(ls);
	close(unsigned_one);
	close(wrong);
	close(right);
	close(fd);
}

int main(void)
{
	int fd = tcp("127.0.0.1"), fd6 = tcp("::1");
	struct tcp_md5sig none;
	memset(&none, 0, sizeof none);
	if (set_key(fd, "127.0.0.1", -1, "key") < 0 && errno == ENOPROTOOPT) {
		printf("ok 1 # SKIP this kernel has no TCP_MD5SIG\n1..1\n");
		return 0;
	}
	keeps_out("127.0.0.1", "127.0.0.1", -1);
	keeps_out("127.0.0.1", "127.0.0.1", 32);
	keeps_out("127.0.0.1", "127.0.0.0", 24);
	keeps_out("127.0.0.1", "127.0.0.0", 8);
	keeps_out("::1", "::1", -1);
	keeps_out("::1", "::1", 128);

	is_err(set_key(fd, "::1", -1, "key"), EINVAL, "an address of another family");
	is_err(set_key(fd6, "127.0.0.1", -1, "key"), EINVAL, "an IPv4 address for an IPv6 socket");
	is_err(set_key(fd, "127.0.0.1", 33, "key"), EINVAL, "a prefix that is too long");
	is_err(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &none, sizeof none - 1), EINVAL, "a short argument");
	is_err(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &none, sizeof none), EINVAL, "no family");
	is_err(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, NULL, sizeof none), EFAULT, "no argument");
	is_err(setsockopt(-1, IPPROTO_TCP, TCP_MD5SIG, &none, sizeof none), EBADF, "no socket");
	return done();
}
