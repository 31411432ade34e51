/* The least that a dial can take if another process has a say in it: a library to preload, and that process.
 *
 *     floor           (decides what is asked for in the file FLOOR until it is ended)
 *     LD_PRELOAD=floor.so FLOOR=file [FLOOR_ASKS=1] program
 *
 * Each TCP connect leaves a word in shared memory, connects, and waits until the other process has dealt with it. With
 * FLOOR_ASKS also the kernel is asked what has to be asked where ports are to be exact and callers to have names: about
 * the listener and the eight lowest ports that are held, by the process that decides, and by the one that accepts who
 * calls. Nothing else: no names, no processes, nothing is written down, nobody is mistrusted.
 *
 * The process that decides stays awake for a while, and yields the processor meanwhile, as lonetd does. */
#include "bench.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { AWAKE_FOR = 50, LOOKS = 100, WORDS = 512, PORTS = 4096, LOWEST = 8, DESCRIPTORS = 4096 };
enum { FREE, GIVEN, CONNECTED };

struct end {
	uint32_t ip, port; /* in the network's order */
};

static struct shared {
	_Atomic uint32_t said, sleeps;
	_Alignas(64) _Atomic uint32_t heard, waits;
	struct word {
		_Alignas(64) _Atomic uint32_t ready;
		uint32_t asks, port;
		struct end to;
	} words[WORDS];
	struct port {
		_Atomic uint32_t is;
		struct end from, to;
	} ports[PORTS];
} *shared;

static struct shared *mapped(void)
{
	const char *path = getenv("FLOOR");
	int fd = CHECK(open(path ? path : "", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK(ftruncate(fd, sizeof *shared));
	void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(at == MAP_FAILED ? -1 : 0);
	close(fd);
	return at;
}

static void wait_while(_Atomic uint32_t *word, uint32_t is)
{
	syscall(SYS_futex, word, FUTEX_WAIT, is, NULL);
}

static void wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX);
}

/* ------------------------------------------------------------------------------------- questions to the kernel */

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 what;
};

static struct question about(struct end local, struct end remote)
{
	struct question q = {
		.header = { sizeof q, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0 },
		.what = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = -1 },
	};
	q.what.id = (struct inet_diag_sockid){
		.idiag_sport = local.port, .idiag_dport = remote.port, .idiag_src = { local.ip },
		.idiag_dst = { remote.ip }, .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};
	return q;
}

static void ask(int fd, const struct question *all, int n)
{
	char answers[LOWEST + 1][256];
	struct iovec parts[LOWEST + 1];
	struct mmsghdr headers[LOWEST + 1] = { 0 };
	for (int i = 0; i < n; i++) {
		parts[i] = (struct iovec){ answers[i], sizeof answers[i] };
		headers[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	CHECK(send(fd, all, n * sizeof *all, 0));
	CHECK(recvmmsg(fd, headers, n, MSG_DONTWAIT, NULL));
}

/* ---------------------------------------------------------------------------------------------- who decides */

/* Gives ports to all who wait, and looks at the lowest that are held. */
static void decide(int diag, uint32_t from, uint32_t to)
{
	struct question all[LOWEST + 1];
	int asked = 0, port = 0;
	for (uint32_t i = from; i != to; i++) {
		struct word *word = &shared->words[i % WORDS];
		for (; port < PORTS && atomic_load(&shared->ports[port].is) != FREE; port++)
			if (asked < LOWEST && word->asks && atomic_load(&shared->ports[port].is) == CONNECTED)
				all[asked++] = about(shared->ports[port].from, shared->ports[port].to);
		atomic_store(&shared->ports[port % PORTS].is, GIVEN);
		word->port = port % PORTS;
	}
	struct word *last = &shared->words[(to - 1) % WORDS];
	if (last->asks) {
		all[asked++] = about(last->to, (struct end){ 0 });
		ask(diag, all, asked);
	}
}

int main(void)
{
	int diag = CHECK(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG));
	shared = mapped();
	for (double busy = now();;) {
		uint32_t heard = atomic_load(&shared->heard), said = heard;
		while (atomic_load(&shared->words[said % WORDS].ready) == said + 1)
			said++;
		if (said != heard) {
			decide(diag, heard, said);
			atomic_store(&shared->heard, said);
			if (atomic_exchange(&shared->waits, 0))
				wake(&shared->heard);
			busy = now();
		} else if (now() - busy < AWAKE_FOR) {
			sched_yield();
		} else {
			atomic_store(&shared->sleeps, 1);
			if (atomic_load(&shared->words[said % WORDS].ready) != said + 1)
				wait_while(&shared->sleeps, 1);
			atomic_store(&shared->sleeps, 0);
			busy = now();
		}
	}
}

/* ------------------------------------------------------------------------------------------------ who dials */

/* The port that a descriptor's connection has, and one. */
static uint16_t ports[DESCRIPTORS];

static void await(uint32_t word)
{
	for (int i = 0; i < LOOKS; i++)
		if ((int32_t)(atomic_load(&shared->heard) - word) > 0)
			return;
	for (;;) {
		atomic_store(&shared->waits, 1);
		uint32_t heard = atomic_load(&shared->heard);
		if ((int32_t)(heard - word) > 0)
			return;
		wait_while(&shared->heard, heard);
	}
}

static int asks(void)
{
	static int known;
	if (!known)
		known = getenv("FLOOR_ASKS") ? 2 : 1;
	return known == 2;
}

static struct end end_of(const struct sockaddr_in *address)
{
	return (struct end){ address->sin_addr.s_addr, address->sin_port };
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	if (!real)
		real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
	if (to->sa_family != AF_INET)
		return real(fd, to, len);
	if (!shared)
		shared = mapped();
	uint32_t number = atomic_fetch_add(&shared->said, 1);
	struct word *word = &shared->words[number % WORDS];
	word->to = end_of((const struct sockaddr_in *)to);
	word->asks = asks();
	atomic_store(&word->ready, number + 1);
	if (atomic_exchange(&shared->sleeps, 0))
		wake(&shared->sleeps);
	int result = real(fd, to, len), error = errno;
	await(number);
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	if (fd < DESCRIPTORS && getsockname(fd, (struct sockaddr *)&from, &from_len) == 0) {
		struct port *port = &shared->ports[word->port];
		port->from = end_of(&from);
		port->to = word->to;
		atomic_store(&port->is, CONNECTED);
		ports[fd] = word->port + 1;
	}
	errno = error;
	return result;
}

int close(int fd)
{
	static int (*real)(int);
	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "close");
	int result = real(fd), error = errno;
	if (fd >= 0 && fd < DESCRIPTORS && ports[fd]) {
		atomic_store(&shared->ports[ports[fd] - 1].is, FREE);
		ports[fd] = 0;
	}
	errno = error;
	return result;
}

int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	static int (*real)(int, struct sockaddr *, socklen_t *, int);
	if (!real)
		real = (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
	int got = real(fd, from, len, flags), error = errno;
	struct sockaddr_in local;
	socklen_t local_len = sizeof local;
	if (got >= 0 && asks() && from && from->sa_family == AF_INET
	    && getsockname(got, (struct sockaddr *)&local, &local_len) == 0) {
		struct question who = about(end_of((struct sockaddr_in *)from), end_of(&local));
		int diag = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
		if (diag >= 0) {
			ask(diag, &who, 1);
			close(diag);
		}
	}
	errno = error;
	return got;
}

int accept(int fd, struct sockaddr *from, socklen_t *len)
{
	return accept4(fd, from, len, 0);
}
