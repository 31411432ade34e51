/* Calls that wait: what interrupts them, and what bounds them. For tests that include net.h. */
#ifndef WAITING_H
#define WAITING_H
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t ticks;

static inline void count(int sig)
{
	(void)sig;
	ticks = ticks + 1;
}

/* A signal each millisecond, so that some come while the program waits. */
static inline timer_t ticking(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec each = { { 0, 1000000 }, { 0, 1000000 } };
	timer_t timer;
	ticks = 0;
	sigaction(SIGUSR1, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &each, NULL) < 0)
		bail("timer");
	return timer;
}

/* A socket whose connect waits so long at most. */
static inline int patient(const char *ip, int milliseconds)
{
	int fd = tcp(ip);
	struct timeval t = { 0, milliseconds * 1000 };
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) < 0)
		bail("SO_SNDTIMEO");
	return fd;
}

#endif
