/* A program whose allocator makes system calls like those of sockets: close, getsockname, getsockopt. It
 * is called in the middle of other code, including libc's and the loader's, and nothing recurses or
 * deadlocks. */
#include "net.h"
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

/* From one area, never freed: what the test needs is little. */
static _Alignas(64) char area[64 << 20];
static atomic_size_t used;
static atomic_long calls, deepest;
static __thread int depth;

static void use_descriptors(void)
{
	int errno_before = errno, value;
	struct sockaddr_storage a;
	socklen_t len = sizeof a, n = sizeof value;
	if (++depth > deepest)
		deepest = depth;
	calls++;
	close(-1);
	getsockname(-1, (struct sockaddr *)&a, &len);
	getpeername(-1, (struct sockaddr *)&a, &len);
	getsockopt(-1, SOL_SOCKET, SO_TYPE, &value, &n);
	depth--;
	errno = errno_before;
}

void *malloc(size_t size)
{
	use_descriptors();
	size_t room = (size + 16 + 63) & ~(size_t)63, at = atomic_fetch_add(&used, room);
	if (at + room > sizeof area) {
		errno = ENOMEM;
		return NULL;
	}
	*(size_t *)(void *)(area + at) = size;
	return area + at + 16;
}

void free(void *old)
{
	if (old)
		use_descriptors();
}

void *calloc(size_t count, size_t size)
{
	return malloc(count * size); /* the area is zero */
}

void *realloc(void *old, size_t size)
{
	void *new = malloc(size);
	if (old && new) {
		size_t had = *(size_t *)(void *)((char *)old - 16);
		memcpy(new, old, had < size ? had : size);
	}
	return new;
}

void *memalign(size_t alignment, size_t size)
{
	char *at = malloc(size + alignment);
	return at ? at + (alignment - (size_t)at % alignment) % alignment : NULL;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **at, size_t alignment, size_t size)
{
	return (*at = memalign(alignment, size)) ? 0 : ENOMEM;
}

static void *in_thread(void *unused)
{
	(void)unused;
	free(malloc(10));
	int ls = listener("127.0.0.1", 0), fd = dial("127.0.0.1", port_of(ls)), accepted = take(ls);
	return (void *)(long)(passes(fd, accepted) && !strcmp(peername(accepted), sockname(fd)));
}

int main(void)
{
	pthread_t thread;
	void *result;
	struct addrinfo *list = NULL;
	char host[256];
	ok(in_thread(NULL) != NULL, "sockets work");
	ok(gethostname(host, sizeof host) == 0 && getaddrinfo("localhost", "80", NULL, &list) == 0, "names work");
	if (list)
		freeaddrinfo(list);
	ok(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, &result) == 0 && result, "threads work");
	ok(calls > 0, "the allocator was called");
	is_int(deepest, 1, "and what it calls does not allocate");
	return done();
}
