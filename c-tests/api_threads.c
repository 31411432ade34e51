/* Eight threads dial and accept at once: every connection has the right addresses, and nothing is left
 * behind. */
#include "api.h"
#include <pthread.h>

enum { THREADS = 8, DIALS = 250 };

static lonet_net *net;
static lonet_host *hosts[THREADS];
static int listeners[THREADS];
static int wrong[THREADS * 2];

static void *dials(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < DIALS; i++) {
		char to[32], c;
		snprintf(to, sizeof to, "h%d:7", (me + i) % THREADS);
		int fd = lonet_dial(hosts[me], to, -1);
		struct lonet_addr l, p;
		if (fd < 0 || lonet_local_addr(fd, &l) < 0 || lonet_peer_addr(fd, &p) < 0) {
			printf("# thread %d: %s\n", me, lonet_errmsg());
			wrong[me]++;
		} else {
			/* The acceptor says whom it sees. */
			struct lonet_addr seen[2];
			char host[16];
			snprintf(host, sizeof host, "h%d", me);
			if (recv(fd, seen, sizeof seen, MSG_WAITALL) != sizeof seen || strcmp(l.host, host) ||
			    strcmp(seen[0].host, p.host) || seen[0].port != p.port || strcmp(seen[1].host, host) ||
			    seen[1].port != l.port)
				wrong[me]++;
			recv(fd, &c, 1, 0);
		}
		close(fd);
	}
	return NULL;
}

static void *accepts(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < DIALS; i++) {
		struct lonet_addr seen[2];
		memset(seen, 0, sizeof seen);
		int fd = lonet_accept(listeners[me], 0, &seen[0], &seen[1]);
		if (fd < 0 || send(fd, seen, sizeof seen, MSG_NOSIGNAL) != sizeof seen) {
			printf("# acceptor %d: %s\n", me, lonet_errmsg());
			wrong[THREADS + me]++;
		}
		close(fd);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS * 2];
	net = joined(NULL);
	for (int i = 0; i < THREADS; i++) {
		char name[16];
		snprintf(name, sizeof name, "h%d", i);
		hosts[i] = host(net, name, 0);
		listeners[i] = listening(hosts[i], ":7");
	}
	int free_fd = lowest_free();
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, dials, (void *)i) ||
		    pthread_create(&threads[THREADS + i], NULL, accepts, (void *)i))
			bail("pthread_create");
	for (int i = 0; i < THREADS * 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++) {
		is_int(wrong[i], 0, "dials of thread %d", i);
		is_int(wrong[THREADS + i], 0, "accepts of thread %d", i);
		struct lonet_addr a;
		is_err(lonet_local_addr(listening(hosts[i], ""), &a), 0, "a listener");
		is_int(a.port, 1, "all ports of host %d are free again", i);
	}
	is_int(lowest_free(), free_fd + THREADS, "and so are all descriptors");
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
