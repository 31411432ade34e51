#!/bin/bash
# An accept that meets several connections whose peers cannot be identified while lonetd is stopped waits for it 5 s for all of
# them, lets none of them in, and returns who needs no lonetd behind them: the owner's program outside the network, and a host
# by the table. A call that goes on waiting for peers has lonetd asked again about the next one.
. "$(dirname "$0")/scenario.bash"
need cc python3
. "$tests/owners.bash"
each_owner

cat >"$work/serve.c" <<'C'
/* For each line of input, whom an accept returns; argv[1]: whether it polls before. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	int ls = socket(AF_INET, SOCK_STREAM, 0), polls = argc > 1 && !strcmp(argv[1], "polls");
	char line[16];
	if (bind(ls, (struct sockaddr *)&at, sizeof at) || listen(ls, 64))
		return 1;
	puts("ready"), fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		struct pollfd ready = { ls, POLLIN, 0 };
		struct timespec begin, end;
		if (polls && poll(&ready, 1, -1) != 1)
			return 1;
		if (!polls)
			puts("accepting"), fflush(stdout);
		clock_gettime(CLOCK_MONOTONIC, &begin);
		int fd = accept(ls, NULL, NULL);
		const char *who = fd >= 0 ? "somebody" : errno == ECONNABORTED ? "nobody" : strerror(errno);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (polls && end.tv_sec - begin.tv_sec >= 10)
			printf("%s after %ld s\n", who, (long)(end.tv_sec - begin.tv_sec));
		else
			puts(who);
		fflush(stdout);
		if (fd >= 0)
			send(fd, "welcome", 7, MSG_NOSIGNAL), close(fd);
	}
	return 0;
}
C
cc -D_GNU_SOURCE -o "$work/serve" "$work/serve.c"
# go.py ADDRESS N: N connections that have gone when accept returns them: nothing tells whose they were.
cat >"$work/go.py" <<'END'
import encodings.idna, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
for _ in range(int(sys.argv[2])):
    socket.create_connection((host, int(port))).close()
END
# From a host's address, with which a program outside is nobody's host; it lives until it is reset.
cat >"$work/impostor.py" <<'END'
import encodings.idna, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
try:
    print(socket.create_connection((host, int(port)), 30, (host, 0)).recv(7) or "closed")
except ConnectionResetError:
    print("reset")
END
# Its socket is bound, so that lonetd decides about its dial, and accept asks it.
cat >"$work/bound.py" <<'END'
import socket, sys
to = (socket.gethostbyname("α.lonet"), 80)
s = socket.socket()
s.bind(("", 0))
print("ready", flush=True)
sys.stdin.readline()
s.connect(to)
print(s.recv(7, socket.MSG_WAITALL).decode(), flush=True)
END
chmod 644 "$work"/*.py
daemon=
end_the_rest() { [ -z "$daemon" ] || kill -CONT "$daemon" 2>/dev/null || true; }
serve() {
    serve_commanded "$work/serve" "$1"
    daemon=$(lonetd)
}
# A connection of another user's, which lives until it is reset.
outsider() { setpriv --reuid "${outsiders[0]}" --regid "${outsiders[0]}" --clear-groups "$python" "$work/call.py" "$os" >"$work/$1" 7>&- & }
waits_at_listener() { [ "$(ss -ltnH "src $os" | awk '{ print $2 }')" = "$1" ]; }

serve polls
dialer 5
accepts somebody "a host is let in while lonetd answers"
stop_lonetd
if [ ${#outsiders[@]} -gt 0 ]; then
    outsider first
    started+=("$!")
    outsider second
    started+=("$!")
    until_true waits_at_listener 2
    accepts nobody "two of another user's take no longer than one"
    is "$(<"$work/first") and $(<"$work/second")" "reset and reset" "both are reset"
fi
"$python" "$work/go.py" "$os" 3
accepts nobody "three that have gone take no longer than one, and none is let in"
"$python" "$work/go.py" "$os" 3
start owners "${owner[@]}" "$python" "$work/call.py" "$os"
owners=$pid
until_true waits_at_listener 4
accepts somebody "the owner's program behind three of them is let in"
wait "$owners"
is "$(<"$work/owners")" welcome "and is served"
"$python" "$work/go.py" "$os" 3
echo dial >&5
until_true waits_at_listener 4
accepts somebody "a host behind three of them as well"
kill -CONT "$daemon"
until_true grep -q '^[0-9]' "$work/out5"
exec 5>&-
server_ends

serve plain
commanded 5 bound lonet run --host β -- python3 "$work/bound.py"
bound=$pid
until_true grep -q ready "$work/bound"
echo accept >&7
until_true grep -q accepting "$work/server"
stop_lonetd
is "$("$python" "$work/impostor.py" "$os")" reset "a call that waits rejects whom it cannot identify"
kill -CONT "$daemon"
echo dial >&5
wait "$bound"
exec 5>&-
is "$(<"$work/bound")" "ready
welcome" "and has lonetd decide about the next one"
server_ends
