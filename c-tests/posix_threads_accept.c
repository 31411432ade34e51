/* Several threads accept from one listener while several dial: each client is served once, under its
 * address. */
#include "net.h"
#include <pthread.h>
#include <stdatomic.h>

enum { ACCEPTORS = 4, DIALERS = 4, EACH = 25 };

static int ls, port;
static atomic_int accepted_count, wrong;

/* Tells each caller what it is called here, until a caller says stop. */
static void *acceptor(void *arg)
{
	(void)arg;
	for (;;) {
		union sa from;
		socklen_t len = sizeof from;
		int fd = accept(ls, &from.any, &len);
		char word[4];
		if (fd < 0 || recv(fd, word, 4, MSG_WAITALL) != 4)
			return (void *)1;
		if (!memcmp(word, "stop", 4))
			return close(fd), NULL;
		atomic_fetch_add(&accepted_count, 1);
		send(fd, &from, sizeof from.v4, MSG_NOSIGNAL);
		close(fd);
	}
}

static void *dialer(void *arg)
{
	(void)arg;
	for (int i = 0; i < EACH; i++) {
		union sa to = at("127.0.0.1", port), own, told;
		socklen_t len = sizeof own;
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		memset(&own, 0, sizeof own);
		if (connect(fd, &to.any, len_of(&to)) < 0 || send(fd, "work", 4, MSG_NOSIGNAL) != 4 ||
		    getsockname(fd, &own.any, &len) < 0 ||
		    recv(fd, &told, sizeof told.v4, MSG_WAITALL) != sizeof told.v4 ||
		    memcmp(&own.v4.sin_addr, &told.v4.sin_addr, 4) || own.v4.sin_port != told.v4.sin_port)
			atomic_fetch_add(&wrong, 1);
		close(fd);
	}
	return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *))
{
	if (pthread_create(thread, NULL, run, NULL))
		bail("pthread_create");
}

int main(void)
{
	pthread_t acceptors[ACCEPTORS], dialers[DIALERS];
	void *result;
	int ended = 0;

	ls = listener("127.0.0.1", 0);
	port = port_of(ls);
	for (int i = 0; i < ACCEPTORS; i++)
		start(&acceptors[i], acceptor);
	for (int i = 0; i < DIALERS; i++)
		start(&dialers[i], dialer);
	for (int i = 0; i < DIALERS; i++)
		pthread_join(dialers[i], NULL);
	for (int i = 0; i < ACCEPTORS; i++) {
		int fd = dial("127.0.0.1", port);
		send(fd, "stop", 4, MSG_NOSIGNAL);
		close(fd);
	}
	for (int i = 0; i < ACCEPTORS; i++) {
		pthread_join(acceptors[i], &result);
		ended += result == NULL;
	}
	is_int(accepted_count, DIALERS * EACH, "every dial is accepted once");
	is_int(wrong, 0, "and named as it names itself");
	is_int(ended, ACCEPTORS, "every thread ends well");
	return done();
}
