/* A socket can be bound once. A failed bind leaves it free to bind elsewhere. */
#include "net.h"

static void twice(const char *ip)
{
	int fd = tcp(ip), port;

	is_err(bind_to(fd, ip, 0), 0, "%s: bind", ip);
	port = port_of(fd);
	is_err(bind_to(fd, ip, port), EINVAL, "%s: the same again", ip);
	is_err(bind_to(fd, ip, 0), EINVAL, "%s: any port", ip);
	is_str(sockname(fd), name(ip, port), "%s: the name is the first one's", ip);

	is_err(listen(fd, 8), 0, "%s: listen", ip);
	is_err(bind_to(fd, ip, 0), EINVAL, "%s: bind of a listener", ip);

	int other = tcp(ip);
	is_err(bind_to(other, ip, port), EADDRINUSE, "%s: another socket", ip);
	is_err(bind_to(other, ip, 0), 0, "%s: which binds another port after that", ip);
	ok(port_of(other) != port && port_of(other) > 0, "%s: and has it", ip);
	close(other);

	const char *dest = strcmp(ip, "0.0.0.0") ? strcmp(ip, "::") ? ip : "::1" : "127.0.0.1";
	int dialed = dial(dest, port), accepted = take(fd);
	is_err(bind_to(dialed, ip, 0), EINVAL, "%s: bind of a connected socket", ip);
	is_err(bind_to(accepted, ip, 0), EINVAL, "%s: bind of an accepted socket", ip);
	close(dialed);
	close(accepted);
	close(fd);
}

int main(void)
{
	twice("127.0.0.1");
	twice("0.0.0.0");
	twice("::1");
	twice("::");
	twice("::ffff:127.0.0.1");
	return done();
}
