/* rexec and rexec_af dial, pass the user, the password and the command, and get a second connection for
 * stderr. */
#include "remote.h"

static void call(const char *ip, int af, int with_errors)
{
	int ls = listener(ip, 0), errors = -1;
	pid_t server = serve_one(ls, 0);
	char *host = (char *)ip, *given = host;
	int fd = rexec_af(&host, htons((in_port_t)port_of(ls)), "me", "secret", "do it", with_errors ? &errors : NULL,
			  (sa_family_t)af);
	ok(fd >= 0, "%s: connected", ip);
	ok(host != given && !strcmp(host, ip), "%s: the name is there", ip);
	is_str(peername(fd), name(ip, port_of(ls)), "%s: the peer's address", ip);
	is_str(rest_of(fd), "me,secret,do it", "%s: what the peer has heard", ip);
	is_str(rest_of(errors), with_errors ? "errors" : "", "%s: the second connection", ip);
	reap(server);
	close(ls);
}

int main(void)
{
	call("127.0.0.1", AF_INET, 0);
	call("127.0.0.1", AF_INET, 1);
	call("::1", AF_INET6, 1);
	call("127.0.0.1", AF_UNSPEC, 1);

	int ls = listener("127.0.0.1", 0), answer = 0, errors;
	pid_t server = serve_one(ls, REFUSES);
	int before = dup(0);
	close(before);
	char *host = (char *)"127.0.0.1";
	is_str(on_stderr(answer = rexec(&host, htons((in_port_t)port_of(ls)), "me", "secret", "it", &errors)), "not today\n",
	       "a refusal is shown on stderr");
	is_int(answer, -1, "and is the end");
	is_int(dup(0), before, "of all its descriptors");
	close(before);
	reap(server);
	return done();
}
