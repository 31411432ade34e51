/* shutdown ends listening; the socket keeps its port and can listen again. */
#include "net.h"
#include <pthread.h>

static void *accept_one(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	return (void *)(long)(fd < 0 ? errno : 0);
}

static void again(const char *ip, int how)
{
	int port = own_port(), ls = listener(ip, port), waiting = dial(ip, port);
	char c;

	is_err(shutdown(ls, SHUT_WR), 0, "%s: SHUT_WR", ip);
	is_int(dial_error(ip, port), 0, "%s: does nothing to a listener", ip);

	is_err(shutdown(ls, how), 0, "%s: shutdown %d", ip, how);
	is_int(get_opt(ls, SOL_SOCKET, SO_ACCEPTCONN), 0, "%s: listens no more", ip);
	is_int(dial_error(ip, port), ECONNREFUSED, "%s: refuses", ip);
	is_err(accept(ls, NULL, NULL), EINVAL, "%s: accepts nobody", ip);
	is_err(recv(waiting, &c, 1, 0), ECONNRESET, "%s: who waited is reset", ip);
	is_str(sockname(ls), name(ip, port), "%s: the name stays", ip);
	int rival = tcp(ip);
	is_err(bind_to(rival, ip, port), EADDRINUSE, "%s: and the port is held", ip);
	close(rival);

	is_err(listen(ls, 8), 0, "%s: listen again", ip);
	is_str(sockname(ls), name(ip, port), "%s: under the same name", ip);
	int fd = dial(ip, port), accepted = take(ls);
	is_str(peername(accepted), sockname(fd), "%s: is reached", ip);
	ok(passes(fd, accepted), "%s: bytes", ip);

	/* Connections accepted earlier do not care. */
	shutdown(ls, how);
	ok(passes(fd, accepted), "%s: a connection outlives its listener's shutdown", ip);

	/* A thread that waits in accept is woken. */
	pthread_t thread;
	void *result;
	listen(ls, 8);
	if (pthread_create(&thread, NULL, accept_one, &ls))
		bail("pthread_create");
	shutdown(ls, how);
	pthread_join(thread, &result);
	is_int((long)result, EINVAL, "%s: shutdown wakes accept", ip);
	reset_on_close(fd);
	close(fd);
	close(accepted);
	close(waiting);
	close(ls);
}

int main(void)
{
	again("127.0.0.1", SHUT_RDWR);
	again("0.0.0.0", SHUT_RDWR);
	again("::1", SHUT_RD);

	/* Once more would be remembered, and end what is accepted later; this socket does not listen again. */
	int twice = listener("127.0.0.1", 0);
	is_err(shutdown(twice, SHUT_RDWR), 0, "shutdown");
	is_err(shutdown(twice, SHUT_RDWR), ENOTCONN, "shutdown once more");

	/* A socket that never chose its port may come back on another one; it is where it says it is. */
	int ls = listener("127.0.0.1", 0);
	shutdown(ls, SHUT_RDWR);
	is_err(listen(ls, 8), 0, "autobound: listen again");
	int fd = dial("127.0.0.1", port_of(ls)), accepted = take(ls);
	ok(passes(fd, accepted), "autobound: is reached where getsockname says");
	return done();
}
