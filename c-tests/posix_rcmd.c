/* rcmd and rcmd_af dial from ports below 1024, pass the users and the command, and get a second connection
 * for stderr. */
#include "remote.h"

static void call(const char *ip, int af, int with_errors)
{
	int ls = listener(ip, 0), errors = -1;
	pid_t server = serve_one(ls, RCMD);
	char *host = (char *)ip, *given = host;
	int fd = rcmd_af(&host, htons((in_port_t)port_of(ls)), "me", "you", "do it", with_errors ? &errors : NULL,
			 (sa_family_t)af);
	ok(fd >= 0, "%s: connected", ip);
	ok(host != given && !strcmp(host, ip), "%s: the name is there", ip);
	is_str(peername(fd), name(ip, port_of(ls)), "%s: the peer's address", ip);
	is_str(rest_of(fd), with_errors ? "me,you,do it from a low port, another for errors" : "me,you,do it from a low port",
	       "%s: what the peer has heard", ip);
	is_str(rest_of(errors), with_errors ? "errors" : "", "%s: the second connection", ip);
	reap(server);
	close(ls);
}

int main(void)
{
	int answer = 0, errors;
	char *host = (char *)"127.0.0.1";
	is_err(rcmd_af(&host, 1, "a", "b", "c", NULL, AF_UNIX), EAFNOSUPPORT, "another family");
	if (!may_bind()) {
		ok(1, "this user may not bind to ports below 1024 # SKIP");
		return done();
	}
	call("127.0.0.1", AF_INET, 0);
	call("127.0.0.1", AF_INET, 1);
	call("::1", AF_INET6, 1);
	call("127.0.0.1", AF_UNSPEC, 1);

	int ls = listener("127.0.0.1", 0), port = htons((in_port_t)port_of(ls));
	pid_t server = serve_one(ls, RCMD | REFUSES);
	int before = dup(0);
	close(before);
	host = (char *)"127.0.0.1";
	is_str(on_stderr(answer = rcmd(&host, (in_port_t)port, "me", "you", "it", &errors)), "not today\n",
	       "a refusal is shown on stderr");
	is_int(answer, -1, "and is the end");
	is_int(dup(0), before, "of all its descriptors");
	close(before);
	reap(server);
	return done();
}
