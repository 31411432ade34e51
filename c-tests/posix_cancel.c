/* A thread cancelled in accept, accept4, connect, recv, sendto or sendmsg leaves no lock held: others go on with the
 * same sockets. */
#include "net.h"
#include <pthread.h>
#include <semaphore.h>

static int ls, port;
static sem_t started;

static void *in_accept(void *arg)
{
	(void)arg;
	union sa from;
	socklen_t len = sizeof from;
	sem_post(&started);
	return (void *)(long)accept(ls, &from.any, &len);
}

static void *in_accept4(void *arg)
{
	(void)arg;
	sem_post(&started);
	return (void *)(long)accept4(ls, NULL, NULL, SOCK_CLOEXEC);
}

/* The listener has no room, so this dial waits. */
static void *in_connect(void *arg)
{
	union sa to = at("127.0.0.1", *(int *)arg);
	int fd = tcp("127.0.0.1");
	sem_post(&started);
	return (void *)(long)connect(fd, &to.any, len_of(&to));
}

static void *in_recv(void *arg)
{
	char c;
	sem_post(&started);
	return (void *)(long)recv(*(int *)arg, &c, 1, 0);
}

/* Nobody reads at the other end, so this waits at some time. */
static void *in_sendto(void *arg)
{
	static char much[1 << 16];
	sem_post(&started);
	while (sendto(*(int *)arg, much, sizeof much, MSG_NOSIGNAL, NULL, 0) > 0)
		;
	return NULL;
}

static void *in_sendmsg(void *arg)
{
	static char much[1 << 16];
	struct iovec part = { much, sizeof much };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	sem_post(&started);
	while (sendmsg(*(int *)arg, &message, MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

/* Cancels it at whatever point it has reached; tells whether that was its end. */
static int cancelled(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	void *result;
	if (pthread_create(&thread, NULL, run, arg))
		bail("pthread_create");
	sem_wait(&started);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	return result == PTHREAD_CANCELED;
}

/* Uses everything, from a fresh thread. */
static void *use(void *arg)
{
	(void)arg;
	int fd = dial("127.0.0.1", port), accepted = take(ls);
	int good = passes(fd, accepted) && !strcmp(peername(accepted), sockname(fd)) &&
		   !strcmp(peername(fd), name("127.0.0.1", port));
	reset_on_close(fd);
	close(fd);
	close(accepted);
	int other = listener("127.0.0.1", 0);
	good = good && dial_error("127.0.0.1", port_of(other)) == 0;
	close(other);
	return (void *)(long)good;
}

static int usable(void)
{
	pthread_t thread;
	void *result;
	if (pthread_create(&thread, NULL, use, NULL))
		bail("pthread_create");
	pthread_join(thread, &result);
	return (int)(long)result;
}

int main(void)
{
	enum { ROUNDS = 20 };
	int ended = 0, good = 0;
	sem_init(&started, 0, 0);
	ls = listener("127.0.0.1", 0);
	port = port_of(ls);

	for (int i = 0; i < ROUNDS; i++) {
		ended += cancelled(in_accept, NULL);
		good += usable();
	}
	is_int(ended, ROUNDS, "a thread in accept is cancelled");
	is_int(good, ROUNDS, "and others accept and dial");

	for (int i = ended = good = 0; i < ROUNDS; i++) {
		ended += cancelled(in_accept4, NULL);
		good += usable();
	}
	is_int(ended, ROUNDS, "a thread in accept4 is cancelled");
	is_int(good, ROUNDS, "and others accept and dial");

	/* A listener whose backlog is full. */
	int full = bound("127.0.0.1", 0);
	listen(full, 0);
	int full_port = port_of(full), waiting = dial("127.0.0.1", full_port);
	for (int i = ended = good = 0; i < ROUNDS; i++) {
		ended += cancelled(in_connect, &full_port);
		good += usable();
	}
	is_int(ended, ROUNDS, "a thread in connect is cancelled");
	is_int(good, ROUNDS, "and others accept and dial");

	int fd = dial("127.0.0.1", port), accepted = take(ls);
	for (int i = ended = good = 0; i < ROUNDS; i++) {
		ended += cancelled(in_recv, &fd);
		good += usable();
	}
	is_int(ended, ROUNDS, "a thread in recv is cancelled");
	is_int(good, ROUNDS, "and others accept and dial");
	ok(passes(fd, accepted), "the connection that it read from goes on");
	for (int i = ended = good = 0; i < ROUNDS; i++) {
		ended += cancelled(in_sendto, &fd);
		good += usable();
	}
	is_int(ended, ROUNDS, "a thread in sendto is cancelled");
	is_int(good, ROUNDS, "and others accept and dial");
	for (int i = ended = good = 0; i < ROUNDS; i++) {
		ended += cancelled(in_sendmsg, &fd);
		good += usable();
	}
	is_int(ended, ROUNDS, "a thread in sendmsg is cancelled");
	is_int(good, ROUNDS, "and others accept and dial");
	close(waiting);
	return done();
}
