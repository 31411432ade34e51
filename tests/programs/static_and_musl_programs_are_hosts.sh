#!/bin/bash
# Programs that LD_PRELOAD does not reach, static and of another C library, are hosts by supervision: they have their host's
# name, ports and loopback, find hosts by name, and see and are seen by hooked programs.
. "$(dirname "$0")/../scenario.bash"
need cc jq musl-gcc pgrep python3

# Below, so that a failure shows the logs alone.
mkdir "$work/src" && cd "$work/src"
cat >net.h <<'C'
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
static inline int port(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in a = { 0 };
	socklen_t len = sizeof a;
	return name(fd, (struct sockaddr *)&a, &len) ? -errno : ntohs(a.sin_port);
}
C
# Says who and where it is, and each caller's port. The first caller is welcomed by a child.
cat >server.c <<'C'
#include "net.h"
int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0) };
	struct utsname u;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 5) || uname(&u))
		return perror("server"), 1;
	printf("%s:%d\n", u.nodename, port(s, getsockname));
	fflush(stdout);
	signal(SIGCHLD, SIG_IGN);
	for (int first = 1;; first = 0) {
		socklen_t len = sizeof a;
		int c = accept(s, (struct sockaddr *)&a, &len);
		if (c < 0)
			return perror("accept"), 1;
		printf("called from %d\n", ntohs(a.sin_port));
		fflush(stdout);
		if (first && fork())
			continue;
		write(c, "welcome", 7);
		close(c);
		if (first)
			return 0;
	}
}
C
# dial HOST PORT: says where from, and what it was told.
cat >dial.c <<'C'
#include "net.h"
int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	char said[8] = "";
	int e = getaddrinfo(argv[1], argv[argc - 1], &hints, &found);
	if (e)
		return fprintf(stderr, "%s: %s\n", argv[1], gai_strerror(e)), 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen))
		return printf("%s\n", strerror(errno)), 2;
	recv(fd, said, 7, MSG_WAITALL);
	printf("%d to %d: %s\n", port(fd, getsockname), port(fd, getpeername), said);
	return 0;
}
C
# resolver HOST: asks the machine's name server in four ways, and says each answer's address, if it comes from that server.
cat >resolver.c <<'C'
#include "net.h"
static unsigned char query[300], answer[600];
static struct sockaddr_in server = { .sin_family = AF_INET }, from;
static void said(const char *how, ssize_t n)
{
	char ip[20] = "";
	if (n > 4)
		inet_ntop(AF_INET, answer + n - 4, ip, sizeof ip);
	int same = from.sin_addr.s_addr == server.sin_addr.s_addr && from.sin_port == server.sin_port;
	printf("%s %s%s\n", how, ip, same ? "" : ", from somebody else");
}
int main(int argc, char **argv)
{
	(void)argc;
	unsigned char *to = query + 12;
	query[2] = query[5] = 1;
	for (char *label = strtok(argv[1], "."); label; label = strtok(NULL, ".")) {
		*to = strlen(label);
		memcpy(to + 1, label, *to);
		to += *to + 1;
	}
	to[2] = to[4] = 1;
	size_t size = to + 5 - query;
	char line[200], ip[100] = "127.0.0.1";
	FILE *f = fopen("/etc/resolv.conf", "r");
	for (int found = 0; f && !found && fgets(line, sizeof line, f);)
		found = sscanf(line, "nameserver %99s", ip) == 1 && inet_pton(AF_INET, ip, &server.sin_addr) == 1;
	if (!server.sin_addr.s_addr)
		inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
	server.sin_port = htons(53);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof from;
	if (connect(other, (void *)&server, sizeof server) || send(other, query, size, 0) < 0)
		return perror("connect"), 1;
	said("connected:", recvfrom(other, answer, sizeof answer, 0, (void *)&from, &len));
	len = sizeof from;
	sendto(fd, query, size, 0, (void *)&server, sizeof server);
	said("recvfrom:", recvfrom(fd, answer, sizeof answer, 0, (void *)&from, &len));
	/* In two parts, as some read the header by itself. */
	struct iovec parts[] = { { answer, 12 }, { answer + 12, sizeof answer - 12 } };
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = parts, .msg_iovlen = 2 };
	memset(&from, 0, sizeof from);
	sendto(fd, query, size, 0, (void *)&server, sizeof server);
	said("recvmsg:", recvmsg(fd, &message, 0));
	/* Over TCP, with the length in front. */
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	unsigned char length[2] = { 0, (unsigned char)size };
	if (connect(tcp, (void *)&server, sizeof server) || send(tcp, length, 2, MSG_MORE) < 0 || send(tcp, query, size, 0) < 0)
		return perror("connect over TCP"), 1;
	ssize_t n = recv(tcp, length, 2, MSG_WAITALL);
	len = sizeof from;
	memset(&from, 0, sizeof from);
	if (n != 2 || getpeername(tcp, (void *)&from, &len))
		return perror("recv over TCP"), 1;
	said("TCP:", recv(tcp, answer, length[0] << 8 | length[1], MSG_WAITALL));
	return 0;
}
C
build() {
    cc -static -o "$1.static" "$1.c" 2>/dev/null
    musl-gcc -o "$1.musl" "$1.c"
    musl-gcc -static -o "$1.musl-static" "$1.c"
}
build server
build dial
build resolver
welcome

for kind in static musl musl-static; do
    start "server-$kind" lonet run -H "s-$kind" -- ./server.$kind 80
    lonet wait --timeout 120 "s-$kind:80"
    until_true test -s "$work/server-$kind"
    is "$(<"$work/server-$kind")" "s-$kind.lonet:80" "$kind: the server has its host's name and the port that it asked for"
    is "$(lonet ls --json | jq -r ".hosts[] | select(.name == \"s-$kind\").sockets[0] | \"\(.program) \(.pid)\"")" \
        "$(cut -c-15 <<<"server.$kind") $(pgrep -P "$(pgrep -P "$pid")")" "$kind: lonet ls names it"
    is "$(lonet run -H c -- python3 ../dial.py "s-$kind.lonet" 80)" welcome "$kind: a hooked program dials it"
    is "$(lonet run -H c -- ./dial.$kind "s-$kind.lonet" 80)" "1 to 80: welcome" "$kind: a supervised one, by name, from port 1"
    code 2 lonet run -H c -- ./dial.$kind "s-$kind.lonet" 81
    is "$out" "Connection refused" "$kind: where nobody listens it is refused"
    is "$(tail -n +2 "$work/server-$kind")" $'called from 1\ncalled from 1' "$kind: and the server sees who calls"
done

start hooked lonet run -H h -- python3 ../server.py 80
lonet wait --timeout 120 h:80
is "$(lonet run -H c -- ./dial.static h.lonet 80)" "1 to 80: welcome" "a supervised program dials a hooked one"
# What it starts is the same host: children, hookable or not.
is "$(lonet run -H c --supervise always -- sh -c './dial.static h.lonet 80; python3 ../dial.py h.lonet 80; uname -n')" \
    $'1 to 80: welcome\nwelcome\nc.lonet' "what a supervised program starts is the same host"

# What it asks a name server lonet answers, and the answer comes from that server as far as it is told.
address=$(lonet addr --host h:80)
is "$(lonet run -H c -- ./resolver.static h.lonet)" "connected: $address
recvfrom: $address
recvmsg: $address
TCP: $address" "a resolver of its own is answered, by its server"

# A hooked shell's, by exec and by posix_spawn, by a path and by a name in PATH.
is "$(lonet run -H c -- sh -c './dial.static h.lonet 80; PATH=$PWD:$PATH; dial.musl h.lonet 80; exec dial.musl-static h.lonet 80')" \
    $'1 to 80: welcome\n1 to 80: welcome\n1 to 80: welcome' "what a hooked program starts is supervised where it cannot be hooked"
is "$(lonet run -H c -- python3 -c '
import os
pid = os.posix_spawnp("./dial.static", ["a name", "h.lonet", "80"], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))')" $'1 to 80: welcome\n0' "by posix_spawn, too"

# What no short path leads to: an open file, a file in memory, a path from an open directory, a long path.
cat >at.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	(void)argc;
	return execveat(open(argv[1], O_PATH | O_CLOEXEC), argv[2], argv + 2, environ, 0), 1;
}
C
# Says which descriptors it has.
cat >descriptors.c <<'C'
#include <fcntl.h>
#include <stdio.h>
int main(void)
{
	for (int fd = 0; fd < 100; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	return 0;
}
C
cc -o at at.c
cc -static -o descriptors descriptors.c
is "$(lonet run -H c -- ./at . dial.static h.lonet 80)" "1 to 80: welcome" "by a path from an open directory"
cat >open.py <<'END'
import os, sys
file = os.open(sys.argv[2], os.O_RDONLY)
if sys.argv[1] == "memory":
    memory = os.memfd_create("x")
    os.write(memory, os.read(file, 1 << 24))
    file = memory
os.execve(file, sys.argv[2:], os.environ)
END
for file in open memory; do
    is "$(lonet run -H c -- python3 open.py $file dial.static h.lonet 80)" "1 to 80: welcome" "by a descriptor of a file: $file"
    is "$(lonet run -H c -- python3 open.py $file descriptors)" "$(python3 open.py $file descriptors)" \
        "by a descriptor of a file: $file, the program has no other one"
done
long=$(printf '%0200d/%0200d/%0200d' 1 2 3)
mkdir -p "$long" && cp dial.static "$long"
is "$(lonet run -H c -- sh -c '"$@"' sh "./$long/dial.static" h.lonet 80)" "1 to 80: welcome" "by a path of 600 bytes"

# What the machine has listening at a loopback address is not the host's.
python3 -c '
import socket, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
s.accept()' >machine &
started+=($!)
until_true test -s machine
code 2 lonet run -H c -- ./dial.static 127.0.0.1 "$(<machine)"
is "$out" "Connection refused" "127.0.0.1 is the host's own"
