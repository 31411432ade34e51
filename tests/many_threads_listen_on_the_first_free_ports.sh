#!/bin/bash
# Hundreds of threads that listen on port 0 at once get the ports from 1 on, each another one; those that are closed meanwhile
# are free for the next.
. "$(dirname "$0")/scenario.bash"
need cc

threads=300
cat >"$work/many.c" <<'END'
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 1000 };
static int sockets[MOST], ports[MOST];

static void *listens(void *number)
{
	int *socket_of = sockets + (long)number;
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof at;
	*socket_of = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(*socket_of, (void *)&at, len) || listen(*socket_of, 1) || getsockname(*socket_of, (void *)&at, &len))
		perror("listen"), exit(1);
	ports[(long)number] = ntohs(at.sin_port);
	return NULL;
}

/* So many threads at once; then one socket in three is closed, and as many threads more get these ports. */
int main(int argc, char **argv)
{
	long n = atoi(argv[argc - 1]), seen[MOST + 1] = {0};
	pthread_t threads[MOST];
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 << 10);
	for (int again = 0; again < 2; again++) {
		for (long i = 0; i < n; i += again ? 3 : 1)
			if (pthread_create(threads + i, &small, listens, (void *)i))
				perror("thread"), exit(1);
		for (long i = 0; i < n; i += again ? 3 : 1)
			pthread_join(threads[i], NULL);
		for (long i = 0; !again && i < n; i += 3)
			close(sockets[i]);
	}
	for (long i = 0; i < n; i++)
		seen[ports[i] > n ? 0 : ports[i]]++;
	for (long port = 1; port <= n; port++)
		if (seen[port] != 1)
			printf("port %ld: %ld times\n", port, seen[port]);
	printf("%d to %ld\n", 1, n);
}
END
cc -pthread -o "$work/many" "$work/many.c"
cc -static -pthread -o "$work/static" "$work/many.c"
is "$(lonet run --host α -- "$work/many" $threads)" "1 to $threads" "hooked"
is "$(lonet run --host β -- "$work/static" $threads)" "1 to $threads" "supervised"
