/* reserved.h - ports below 1024, for tests of the calls that bind to one by themselves. */
#ifndef RESERVED_H
#define RESERVED_H

#include "net.h"
#include <netdb.h>

/* On the bare kernel most users may not bind to such a port. */
static inline int may_bind(void)
{
	for (int port = 1023, fd; port >= 512; port--) {
		fd = tcp("127.0.0.1");
		int err = bind_to(fd, "127.0.0.1", port) < 0 ? errno : 0;
		close(fd);
		if (err != EADDRINUSE)
			return err != EACCES;
	}
	return 1;
}

static inline int is_reserved(int port)
{
	return 512 <= port && port < 1024;
}

#endif
