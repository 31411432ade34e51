#!/bin/bash
# A program uses the network wherever code of its runs: in the constructors and destructors of its libraries, which run
# before liblonet.so's own constructor and after everything else, in C++ statics, in atexit handlers, in the destructors of
# thread-specific data. It is the host everywhere.
. "$(dirname "$0")/scenario.bash"
need cc c++

cat >"$work/works.h" <<'C'
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __cplusplus
extern "C"
#endif
void works(const char *where);
C
cat >"$work/lib.c" <<'C'
#include "works.h"
/* Every kind of call, once; then one line. Explicit port 7 is the host's own everywhere, and refused to all but root
 * elsewhere. */
void works(const char *where)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7) }, b, c;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	socklen_t len = sizeof b, len_c = sizeof c;
	char host[65] = "", name[NI_MAXHOST] = "";
	int ls = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), accepted = -1, step = 0;
	errno = 0;
	if (bind(ls, (struct sockaddr *)&a, sizeof a) == 0 && ++step && listen(ls, 1) == 0 && ++step &&
	    gethostname(host, sizeof host) == 0 && getaddrinfo(host, "7", &hints, &list) == 0 && ++step &&
	    connect(fd, list->ai_addr, list->ai_addrlen) == 0 && ++step &&
	    (accepted = accept(ls, (struct sockaddr *)&b, &len)) >= 0 && ++step &&
	    getsockname(fd, (struct sockaddr *)&c, &len_c) == 0 && b.sin_port == c.sin_port && ++step &&
	    getnameinfo((struct sockaddr *)&b, len, name, sizeof name, NULL, 0, NI_NAMEREQD) == 0)
		step++;
	if (list)
		freeaddrinfo(list);
	close(accepted);
	close(fd);
	close(ls);
	printf("%s: %s %s:%d step %d %s\n", where, host, name, ntohs(b.sin_port), step, strerror(errno));
	fflush(stdout);
}
__attribute__((constructor)) static void begin(void) { works("a library's constructor"); }
__attribute__((destructor)) static void end(void) { works("a library's destructor"); }
C
cat >"$work/main.cc" <<'C'
#include "works.h"
#include <cstdlib>
#include <pthread.h>
#include <thread>
struct Static {
	const char *born, *dead;
	Static(const char *b, const char *d) : born(b), dead(d) { works(born); }
	~Static() { works(dead); }
};
static Static global("a static's constructor", "a static's destructor");
static void of_key(void *) { works("a destructor of thread-specific data"); }
int main()
{
	static pthread_key_t key;
	pthread_key_create(&key, of_key);
	atexit([] { works("a handler of atexit"); });
	works("main");
	std::thread([] {
		thread_local Static local("a thread_local's constructor", "a thread_local's destructor");
		(void)local.born;
		pthread_setspecific(key, &key);
	}).join();
	return 0;
}
C
cc -shared -fPIC -o "$work/libworks.so" "$work/lib.c"
c++ -std=gnu++17 -pthread -o "$work/program" "$work/main.cc" -L "$work" -lworks -Wl,-rpath,"$work"

said=$(lonet run --host α -- "$work/program")
for where in "a library's constructor" "a static's constructor" main "a thread_local's constructor" \
    "a thread_local's destructor" "a destructor of thread-specific data" "a handler of atexit" "a static's destructor" \
    "a library's destructor"; do
    is "$(grep "^$where:" <<<"$said")" "$where: α.lonet xn--mxa.lonet:1 step 7 Success" "$where"
done
is "$(wc -l <<<"$said")" 9 "and no other"
