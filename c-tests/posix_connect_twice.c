/* A connected socket that dials again gets EISCONN, whatever the address, and stays connected. */
#include "net.h"

static void twice(const char *ip)
{
	int ls = listener(ip, 0), other = listener(ip, 0), closed = bound(ip, 0);
	int fd = dial(ip, port_of(ls)), accepted = take(ls);
	const char *own = sockname(fd), *peer = peername(fd);

	is_err(connect_to(fd, ip, port_of(ls)), EISCONN, "%s: the same listener", ip);
	is_err(connect_to(fd, ip, port_of(other)), EISCONN, "%s: another listener", ip);
	is_err(connect_to(fd, ip, port_of(closed)), EISCONN, "%s: a closed port", ip);
	is_err(connect_to(accepted, ip, port_of(other)), EISCONN, "%s: by an accepted socket", ip);
	is_err(connect_to(ls, ip, port_of(other)), EISCONN, "%s: by a listener", ip);
	is_err(listen(fd, 8), EINVAL, "%s: listen on a connected socket", ip);
	ok(!ready(ls, POLLIN) && !ready(other, POLLIN), "%s: nobody was called", ip);
	is_str(sockname(fd), own, "%s: own name as before", ip);
	is_str(peername(fd), peer, "%s: peer as before", ip);
	is_str(sockname(ls), peer, "%s: the listener as before", ip);
	ok(passes(fd, accepted), "%s: bytes", ip);

	close(accepted);
	wait_for(fd, POLLRDHUP);
	is_err(connect_to(fd, ip, port_of(ls)), EISCONN, "%s: also when the peer has closed", ip);
	close(fd);
	close(closed);
	close(other);
	close(ls);
}

int main(void)
{
	twice("127.0.0.1");
	twice("::1");
	twice("::ffff:127.0.0.1");
	return done();
}
