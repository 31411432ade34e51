#!/bin/bash
# A connection of another user's, which accept resets, stops no server: a call that found it there and nobody else fails with
# ECONNABORTED, as its program may have polled and does not expect to wait; a call that had to wait goes on waiting; a
# non-blocking listener has nobody (EAGAIN). A caller of the network's that waits behind it is returned.
. "$(dirname "$0")/scenario.bash"
need cc python3
as_another_user
. "$(dirname "$0")/owners.bash"
each_owner

cat >"$work/serve.c" <<'C'
/* Whom each accept returns, in a line each: argv[1] says how accept is called. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	int nonblocking = !strcmp(argv[1], "nonblocking") ? SOCK_NONBLOCK : 0;
	int ls = argc > 2 ? 0 : socket(AF_INET, SOCK_STREAM | nonblocking, 0);
	char line[16];
	if (argc <= 2 && (bind(ls, (struct sockaddr *)&at, sizeof at) || listen(ls, 64)))
		return 1;
	puts("ready"), fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		struct pollfd ready = { ls, POLLIN, 0 };
		if (strcmp(argv[1], "plain") && poll(&ready, 1, -1) != 1)
			return 1;
		if (!strcmp(argv[1], "plain"))
			puts("accepting"), fflush(stdout);
		int fd = accept(ls, NULL, NULL);
		puts(fd >= 0 ? "somebody" : errno == ECONNABORTED ? "nobody" : errno == EAGAIN ? "again" : strerror(errno));
		fflush(stdout);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}
C
cc -D_GNU_SOURCE -o "$work/serve" "$work/serve.c"
cat >"$work/call.py" <<'END'
import encodings.idna, os, socket, sys
if len(sys.argv) > 3:
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
for n in range(int(sys.argv[4]) if len(sys.argv) > 4 else 1):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    # Lives until it is closed at the other end, so that it is there when accept looks.
    if os.fork() == 0:
        try:
            s.recv(1)
        except OSError:
            pass
        os._exit(0)
print("connected", flush=True)
END
outsiders() { python3 "$work/call.py" "${os%:*}" "${os#*:}" "${outsiders[0]}" "${1:-1}" >"$work/called" 7>&-; }
beta() { lonet run --host β -- "$python" "$work/call.py" α.lonet 80 >"$work/called" 7>&-; }

serve_commanded "$work/serve" blocking
outsiders
accepts nobody "an accept after poll does not wait when an outsider was there"
beta
accepts somebody "the next one returns a host's caller"
outsiders 3 && beta
accepts somebody "one behind three outsiders as well"
outsiders 20
accepts nobody "twenty outsiders keep a call from the others no longer than some"
server_ends

serve_commanded "$work/serve" nonblocking
outsiders
accepts again "a non-blocking listener has nobody when an outsider was there"
outsiders 3 && beta
accepts somebody "and a host's caller when one is behind three outsiders"
server_ends

serve_commanded "$work/serve" plain
echo accept >&7
until_true grep -q accepting "$work/server"
until_true eval 'grep -q S "/proc/$(pgrep -f "^$work/serve plain")/stat" && grep -q "accept" "/proc/$(pgrep -f "^$work/serve plain")/wchan"'
outsiders
outsiders 2
is "$(tail -n 1 "$work/server")" accepting "an accept that waits goes on waiting when outsiders come"
beta
until_true server_printed 3
is "$(tail -n 1 "$work/server")" somebody "until a host calls"
server_ends
