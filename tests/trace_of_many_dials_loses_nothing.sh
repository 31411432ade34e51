#!/bin/bash
# While it is recorded, as many dials as a program makes are all in the trace, each with its accept and both closes, whatever the
# recorder's turn. 10,000 of them, 100,000 with --full.
. "$(dirname "$0")/scenario.bash"
need cc

dials=10000
[ -z "${LONET_FULL-}" ] || dials=100000
cat >"$work/many.c" <<'C'
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0, ls = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	if (bind(ls, (struct sockaddr *)&at, sizeof at) || listen(ls, 64))
		return 1;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&at, sizeof at))
			return 2;
		int s = accept(ls, NULL, NULL);
		if (s < 0 || close(s) || close(fd))
			return 3;
	}
}
C
cc -o "$work/many" "$work/many.c"
code 0 lonet trace --start
code 0 lonet run --host α -- "$work/many" "$dials"
lonet trace --format jsonl >"$work/trace"
for kind in dial connected accepted; do
    is "$(grep -c "\"event\":\"$kind\"" "$work/trace")" "$dials" "$kind"
done
is "$(grep -c '"event":"closed"' "$work/trace")" $((2 * dials)) "closed"
is "$(grep -c '"event":"lost"' "$work/trace" || true)" 0 "none is lost"
