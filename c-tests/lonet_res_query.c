/* The resolver's own calls answer for hosts: addresses, names, names that do not exist, and short buffers. */
#include "resolve.h"
#include <resolv.h>

static unsigned char answer[1024];

/* The first record of an answer, as text; or what there is to say instead. */
static const char *record(int n)
{
	static char out[300];
	if (n < 0)
		return h_errno == HOST_NOT_FOUND ? "HOST_NOT_FOUND" : h_errno == NO_DATA ? "NO_DATA" : "error";
	const unsigned char *end = answer + n, *at = answer + NS_HFIXEDSZ;
	if (!answer[7])
		return "no answer";
	at += dn_skipname(at, end) + NS_QFIXEDSZ;
	at += dn_skipname(at, end);
	int type = at[0] << 8 | at[1];
	at += NS_RRFIXEDSZ;
	if (type == ns_t_a)
		inet_ntop(AF_INET, at, out, sizeof out);
	else if (type == ns_t_aaaa)
		inet_ntop(AF_INET6, at, out, sizeof out);
	else if (type != ns_t_ptr || dn_expand(answer, end, at, out, sizeof out) < 0)
		return "another record";
	return out;
}

#define ask(call, name, type) record(call(name, ns_c_in, type, answer, sizeof answer))

int main(void)
{
	const char *v4 = address_of("β.lonet", AF_INET), *v6 = address_of("β.lonet", AF_INET6);
	struct __res_state state = { 0 };
	if (res_ninit(&state))
		bail("res_ninit");

	is_str(ask(res_query, "xn--nxa.lonet", ns_t_a), v4, "res_query for A");
	is_str(ask(res_query, "β.LONET.", ns_t_a), v4, "in another spelling");
	is_str(ask(res_query, "xn--nxa.lonet", ns_t_aaaa), v6, "for AAAA");
	is_str(ask(res_query, "xn--nxa.lonet", ns_t_mx), "NO_DATA", "for MX");
	is_str(ask(res_query, "a.b.lonet", ns_t_a), "HOST_NOT_FOUND", "what cannot be a host");
	is_str(ask(res_query, "a..lonet", ns_t_a), "HOST_NOT_FOUND", "what is no name");
	is_str(ask(res_query, "lonet", ns_t_a), "NO_DATA", "the domain itself");
	is_str(ask(res_search, "xn--nxa.lonet", ns_t_a), v4, "res_search");
	is_str(record(res_nquery(&state, "xn--nxa.lonet", ns_c_in, ns_t_a, answer, sizeof answer)), v4, "res_nquery");
	is_str(record(res_nsearch(&state, "xn--nxa.lonet", ns_c_in, ns_t_a, answer, sizeof answer)), v4, "res_nsearch");
	res_nquery(&state, "a.b.lonet", ns_c_in, ns_t_a, answer, sizeof answer);
	is_int(state.res_h_errno, HOST_NOT_FOUND, "the state tells what went wrong");

	unsigned a, b, c, d;
	char reverse[64];
	sscanf(v4, "%u.%u.%u.%u", &a, &b, &c, &d);
	snprintf(reverse, sizeof reverse, "%u.%u.%u.%u.in-addr.arpa", d, c, b, a);
	is_str(ask(res_query, reverse, ns_t_ptr), "xn--nxa.lonet", "PTR");
	is_str(ask(res_query, reverse, ns_t_a), "NO_DATA", "no other record there");
	snprintf(reverse, sizeof reverse, "200.%u.%u.%u.in-addr.arpa", c, b, a);
	is_str(ask(res_query, reverse, ns_t_ptr), "HOST_NOT_FOUND", "nobody's address");

	unsigned char query[300];
	int n = res_mkquery(ns_o_query, "xn--nxa.lonet", ns_c_in, ns_t_a, NULL, 0, NULL, query, sizeof query);
	is_str(record(res_send(query, n, answer, sizeof answer)), v4, "res_send");
	ok(!memcmp(query, answer, 2), "the answer has the query's id");
	is_str(record(res_nsend(&state, query, n, answer, sizeof answer)), v4, "res_nsend");
	int all = res_query("xn--nxa.lonet", ns_c_in, ns_t_a, answer, sizeof answer);
	memset(answer, '#', sizeof answer);
	is_int(res_query("xn--nxa.lonet", ns_c_in, ns_t_a, answer, 20), all, "a short buffer: the length of all");
	ok(answer[19] != '#' && answer[20] == '#', "and what fits of it");
	res_nclose(&state);
	return done();
}
