#!/bin/bash
# A library that holds a lock of its own over network calls, and takes it in many of libc's functions, as libfakeroot does:
# no hook calls any of these, so that nobody waits for itself; in either order of LD_PRELOAD, and before the library has begun.
. "$(dirname "$0")/scenario.bash"
need cc

cat >"$work/network.c" <<'C'
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int peer = -1;
/* At first use, under the lock: a server and a connection to it. */
void enter_locked(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	pthread_mutex_lock(&lock);
	if (peer < 0) {
		int ls = socket(AF_INET, SOCK_STREAM, 0), fd;
		peer = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(ls, (struct sockaddr *)&at, len) || listen(ls, 1) || getsockname(ls, (struct sockaddr *)&at, &len) ||
		    connect(peer, (struct sockaddr *)&at, len) || (fd = accept(ls, NULL, NULL)) < 0 ||
		    getpeername(fd, (struct sockaddr *)&at, &len) || close(fd) || close(ls))
			fprintf(stderr, "network: %s\n", strerror(errno));
		else
			fprintf(stderr, "peer %d\n", ntohs(at.sin_port));
	}
	pthread_mutex_unlock(&lock);
}
C
# No headers: each function is passed on as it is called.
cat >"$work/locks.c" <<'C'
void enter_locked(void);
void *dlsym(void *, const char *);
#define LOCKED(name)                                                          \
	long name(long a, long b, long c, long d, long e, long f)             \
	{                                                                     \
		enter_locked();                                               \
		return ((long (*)(long, long, long, long, long, long))dlsym( \
			(void *)-1l, #name))(a, b, c, d, e, f);               \
	}
C
for name in fstat fstat64 stat stat64 lstat lstat64 fstatat fstatat64 statx fstatvfs fstatvfs64 fstatfs statfs open open64 openat \
    openat64 read pread pread64 readv readlink readlinkat realpath opendir readdir readdir64 closedir getcwd getenv secure_getenv \
    geteuid getuid getegid getgid getpid gettid mmap mmap64 munmap madvise mprotect lseek lseek64 clock_gettime gettimeofday time \
    fcntl fcntl64 ioctl poll ppoll select getrandom access faccessat prctl sigprocmask usleep nanosleep; do
    echo "LOCKED($name)"
done >>"$work/locks.c"
cc -shared -fPIC -fno-builtin -o "$work/locks.so" "$work/network.c" "$work/locks.c"
cat >"$work/program.c" <<'C'
#include <stdio.h>
#include <sys/stat.h>
int main(void)
{
	struct stat s;
	return fstat(0, &s) || puts("done") < 0;
}
C
cc -o "$work/program" "$work/program.c"
cat >"$work/early.c" <<'C'
void enter_locked(void);
__attribute__((constructor)) static void begin(void) { enter_locked(); }
C
cc -shared -fPIC -o "$work/early.so" "$work/early.c" "$work/locks.so"

# The network runs already, so that what is tried is a program's part alone.
start other lonet run --host β -- sleep 1000
until_true lonetd
run() {
    # shellcheck disable=SC2046 # words: variables
    timeout 20 env $(lonet env -H α | sed 's/^export //; /LD_PRELOAD/d' | tr -d "'") LD_PRELOAD="$1" "$work/program" 2>&1 ||
        echo "exit code $?"
}
is "$(env LD_PRELOAD="$work/locks.so" "$work/program" 2>&1 | tail -n 1)" "done" "without lonet it ends"
is "$(run "$work/locks.so:$library")" $'peer 2\ndone' "the interposer in front"
is "$(run "$library:$work/locks.so")" $'peer 2\ndone' "the interposer behind"
is "$(run "$work/early.so:$library")" $'peer 2\ndone' "in its constructor, after the library's"
is "$(run "$library:$work/early.so")" $'peer 2\ndone' "in its constructor, before the library's"
