#!/bin/bash
# Events for which there was no room, while lonetd did not take any, are counted, and their number is an event.
. "$(dirname "$0")/scenario.bash"
need cc jq

cat >"$work/many.c" <<'C'
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	if (bind(ls, (struct sockaddr *)&at, sizeof at) || listen(ls, 64))
		return 1;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (;;) {
		char c;
		int n;

		if (scanf("%d", &n) != 1)
			return 0;
		for (int i = 0; i < n; i++) {
			struct linger now = { 1, 0 };
			int fd = socket(AF_INET, SOCK_STREAM, 0);
			if (connect(fd, (struct sockaddr *)&at, sizeof at))
				return 2;
			int s = accept(ls, NULL, NULL);
			/* Nothing is left in TIME_WAIT. */
			if (s < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) || close(fd) || recv(s, &c, 1, 0) >= 0 || close(s))
				return 3;
		}
		printf("%d done\n", n);
		fflush(stdout);
	}
}
C
cc -o "$work/dialer" "$work/many.c"
code 0 lonet trace --start
commanded 3 many lonet run --host α -- "$work/dialer"
lonet wait --timeout 120 α:80
echo 1 >&3
until_true grep -q "^1 done" "$work/many"
lonet trace >/dev/null
daemon=$(lonetd)
stop_lonetd
# Five events each, and 65,536 have room.
echo 20000 >&3
until_true grep -q "^20000 done" "$work/many"
kill -CONT "$daemon"
echo 2 >&3
until_true grep -q "^2 done" "$work/many"
lonet trace --format jsonl >"$work/trace"
dials=$(grep -c '"event":"dial"' "$work/trace")
[ "$dials" -lt 20003 ] || fail "nothing was lost: $dials dials"
is "$(jq -s '[.[1:][] | select(.event == "lost").count] | add > 10000' "$work/trace")" true "how many were lost is said"
is "$(jq -s '[.[1:][] | if .event == "lost" then .count else 1 end] | add >= 100000' "$work/trace")" true \
    "with them each event is accounted for"
lost=$(jq -s '[.[1:][] | select(.event == "lost").count] | add' "$work/trace")
code 0 lonet expect --trace "$work/trace" -e 'α listening α:80'
is "$err" "lonet: events are missing in this trace: $lost" "expect says it"
