/* The least that a dial can take if another process has a say in it: a library to preload, in which each TCP connect leaves
 * a word in shared memory, connects, and waits until another process has read it; and that process. Nothing else: no
 * state, no names, no look at the kernel's tables, nothing at accept and close.
 *
 *     floor           (reads what is said in the file FLOOR until it is ended)
 *     LD_PRELOAD=floor.so FLOOR=file program
 *
 * The reader stays awake for a while, and yields the processor meanwhile, as lonetd does. */
#include "bench.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { AWAKE_FOR = 50, LOOKS = 100 };

static struct shared {
	_Atomic uint32_t said, sleeps;
	_Alignas(64) _Atomic uint32_t heard, waits;
} *shared;

static struct shared *mapped(void)
{
	const char *path = getenv("FLOOR");
	int fd = CHECK(open(path ? path : "", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK(ftruncate(fd, 4096));
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
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

int main(void)
{
	shared = mapped();
	for (double busy = now();;) {
		uint32_t said = atomic_load(&shared->said);
		if (said != atomic_load(&shared->heard)) {
			atomic_store(&shared->heard, said);
			if (atomic_exchange(&shared->waits, 0))
				wake(&shared->heard);
			busy = now();
		} else if (now() - busy < AWAKE_FOR) {
			sched_yield();
		} else {
			atomic_store(&shared->sleeps, 1);
			wait_while(&shared->said, said);
			atomic_store(&shared->sleeps, 0);
			busy = now();
		}
	}
}

static void await(uint32_t word)
{
	for (int i = 0; i < LOOKS; i++)
		if ((int32_t)(atomic_load(&shared->heard) - word) >= 0)
			return;
	for (;;) {
		atomic_store(&shared->waits, 1);
		uint32_t heard = atomic_load(&shared->heard);
		if ((int32_t)(heard - word) >= 0)
			return;
		wait_while(&shared->heard, heard);
	}
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
	uint32_t word = atomic_fetch_add(&shared->said, 1) + 1;
	if (atomic_load(&shared->sleeps))
		wake(&shared->said);
	int result = real(fd, to, len), error = errno;
	await(word);
	errno = error;
	return result;
}
