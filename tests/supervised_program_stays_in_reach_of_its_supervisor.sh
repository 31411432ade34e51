#!/bin/bash
# A supervised program that makes itself undumpable, as ssh-agent does, stays in its supervisor's reach: it dials, listens and is
# dialed as before. It sees that it can be dumped.
. "$(dirname "$0")/scenario.bash"
need cc python3

mkdir "$work/src"
cat >"$work/src/undumpable.c" <<'C'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* undumpable [IP]: dials port 80 of it and says what it hears, or serves on port 80. */
int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	socklen_t len = sizeof at;
	char heard[7] = "";
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (prctl(PR_SET_DUMPABLE, 0))
		return perror("prctl"), 1;
	printf("%d\n", prctl(PR_GET_DUMPABLE));
	fflush(stdout);
	if (argc > 1) {
		inet_pton(AF_INET, argv[1], &at.sin_addr);
		if (connect(fd, (struct sockaddr *)&at, len) || recv(fd, heard, 7, MSG_WAITALL) != 7)
			return perror("connect"), 1;
		if (getsockname(fd, (struct sockaddr *)&at, &len))
			return perror("getsockname"), 1;
		printf("from port %d: %.7s\n", ntohs(at.sin_port), heard);
		return 0;
	}
	if (bind(fd, (struct sockaddr *)&at, len) || listen(fd, 1))
		return perror("listen"), 1;
	int call = accept(fd, (struct sockaddr *)&at, &len);
	if (call < 0 || write(call, "welcome", 7) != 7)
		return perror("accept"), 1;
	printf("from port %d\n", ntohs(at.sin_port));
	return 0;
}
C
cc -static -o "$work/src/undumpable" "$work/src/undumpable.c"
welcome
start server lonet run --host α -- "$work/src/undumpable"
lonet wait --timeout 120 α:80
is "$(lonet run --host β -- python3 "$work/dial.py" α.lonet 80)" welcome "it is dialed"
wait "$pid" || fail "it has ended with $?"
is "$(<"$work/server")" $'1\nfrom port 1' "and knows who has dialed"
start hooked lonet run --host γ -- python3 "$work/server.py" 80
lonet wait --timeout 120 γ:80
ip=$(lonet addr --host γ:80)
is "$(lonet run --host β -- "$work/src/undumpable" "$ip")" $'1\nfrom port 1: welcome' "it dials"
