#!/bin/bash
# Another library that interposes the same calls, before liblonet.so and behind it: the program does what it does without,
# and each library sees the calls: the one in front the program's, the one behind what liblonet.so makes of them.
. "$(dirname "$0")/scenario.bash"
need cc python3

cat >"$work/spy.c" <<'C'
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static int calls[6], translated;
#define next(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
int bind(int fd, const struct sockaddr *a, socklen_t n) { calls[0]++; return next(bind)(fd, a, n); }
int connect(int fd, const struct sockaddr *a, socklen_t n)
{
	if (a->sa_family == AF_INET) {
		calls[1]++;
		translated += ((struct sockaddr_in *)a)->sin_addr.s_addr != htonl(INADDR_LOOPBACK);
	}
	return next(connect)(fd, a, n);
}
int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags) { calls[2]++; return next(accept4)(fd, a, n, flags); }
int close(int fd) { calls[3]++; return next(close)(fd); }
int getsockname(int fd, struct sockaddr *a, socklen_t *n) { calls[4]++; return next(getsockname)(fd, a, n); }
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	calls[5]++;
	return next(getaddrinfo)(node, service, hints, list);
}
__attribute__((destructor)) static void end(void)
{
	if (getenv("SPY") && calls[1])
		fprintf(stderr, "spy: connect %d translated %d accept %d close %s getsockname %s getaddrinfo %s\n", calls[1], translated,
			calls[2], calls[3] ? "yes" : "no", calls[4] ? "yes" : "no", calls[5] ? "yes" : "no");
}
C
cc -shared -fPIC -o "$work/spy.so" "$work/spy.c"
cat >"$work/program.py" <<'PY'
import socket
server = socket.create_server(("127.0.0.1", 80))
fd = socket.create_connection(("127.0.0.1", 80))
accepted, caller = server.accept()
fd.sendall(b"x")
assert accepted.recv(1) == b"x" and caller == fd.getsockname()
print(socket.gethostname(), server.getsockname(), caller)
PY
# shellcheck disable=SC2046 # words: variables
run() { env $(lonet env -H α | sed 's/^export //; /LD_PRELOAD/d' | tr -d "'") SPY=1 LD_PRELOAD="$1" python3 -E -S "$work/program.py" 2>&1; }
answers="α.lonet ('127.0.0.1', 80) ('127.0.0.1', 1)"
is "$(run "$work/spy.so:$library")" \
    "$answers"$'\n'"spy: connect 1 translated 0 accept 1 close yes getsockname yes getaddrinfo yes" "the spy in front"
is "$(run "$library:$work/spy.so")" \
    "$answers"$'\n'"spy: connect 1 translated 1 accept 1 close yes getsockname yes getaddrinfo yes" "the spy behind"
is "$(run "$work/spy.so:$library:$work/spy.so")" \
    "$answers"$'\n'"spy: connect 1 translated 0 accept 1 close yes getsockname yes getaddrinfo yes" "named twice"
