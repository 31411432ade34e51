/* A socket that its program has bound to a port by number connects to itself, also where an earlier socket got this port
 * from bind to port 0, and the program never asked which it was. */
#include "lonet.h"

int main(void)
{
	close(bound("127.0.0.1", 0));
	int fd = bound("127.0.0.1", 1);
	is_err(connect_to(fd, "127.0.0.1", 1), 0, "connect to its own port");
	is_str(peername(fd), name("127.0.0.1", 1), "its peer");
	return done();
}
