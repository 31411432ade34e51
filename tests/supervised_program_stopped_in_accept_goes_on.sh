#!/bin/bash
# SIGSTOP for a supervised program whose threads wait in accept stops it, and the process that was started with it; after SIGCONT
# it serves who has dialed meanwhile. SIGSTOP for the started process leaves the program running.
. "$(dirname "$0")/scenario.bash"
need cc pgrep python3

mkdir "$work/src"
cat >"$work/src/server.c" <<'C'
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;

static void *serve(void *unused)
{
	for (;;) {
		int call = accept(listener, NULL, NULL);
		if (call < 0 || write(call, "welcome", 7) != 7)
			return perror("accept"), unused;
		close(call);
	}
}

/* server THREADS */
int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	pthread_t thread;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (argc < 2 || bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 5))
		return perror("listen"), 1;
	for (int others = argv[1][0] - '1'; others > 0; others--)
		pthread_create(&thread, NULL, serve, NULL);
	serve(NULL);
	return 1;
}
C
cc -static -pthread -o "$work/src/server" "$work/src/server.c"
welcome
dial() { lonet run --host β -- python3 "$work/dial.py" α.lonet 80; }
state() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status"; }
is_in() { [[ $(state "$1") == [$2] ]]; }
# Linux counts it among those that have ended the connect.
dialed() { lonet ls --json | grep -q '"β"'; }
for threads in 1 3; do
    start server lonet run --host α -- "$work/src/server" "$threads"
    server=$pid
    lonet wait --timeout 120 α:80
    program=$(pgrep -P "$(pgrep -P "$server")")
    is "$(dial)" welcome "threads: $threads: it serves"
    kill -STOP "$program"
    until_true is_in "$program" T
    until_true is_in "$server" T
    start dial dial
    dial=$pid
    until_true dialed
    is "$(<"$work/dial")" "" "stopped, it does not"
    kill -CONT "$program"
    until_true is_in "$server" S
    wait "$dial" || fail "the dial has ended with $?"
    is "$(<"$work/dial")" welcome "and after SIGCONT it serves who has dialed meanwhile"

    kill -STOP "$server"
    until_true is_in "$server" T
    is "$(dial)" welcome "with the started process stopped it serves"
    kill -CONT "$server"
    stop "$server"
done
