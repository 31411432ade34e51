#!/bin/bash
# A supervised program whose file its user may execute and not read, which the kernel lets no supervisor of that user access, has
# no network: its calls fail with ENETDOWN, and nothing of the machine's is reached.
. "$(dirname "$0")/scenario.bash"
need cc python3 setpriv
as_another_user
# shellcheck source=owners.bash
. "$tests/owners.bash"

mkdir "$work/src"
cat >"$work/src/dial.c" <<'C'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[argc - 1])) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof to))
		return perror("connect"), 1;
	puts("connected");
	return 0;
}
C
cc -static -o "$work/src/dial" "$work/src/dial.c"
cat >"$work/src/machine.py" <<'P'
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
s.accept()
print("reached", flush=True)
P
start machine python3 "$work/src/machine.py"
until_true test -s "$work/machine"
port=$(<"$work/machine")
mkdir -m 755 "$work/nobodys"
chown 65534:65534 "$work/nobodys"
nobody=(env TMPDIR="$work/nobodys" HOME="$work/nobodys" setpriv --reuid 65534 --regid 65534 --clear-groups)
run() { "${nobody[@]}" lonet run --host a --supervise always -- sh -c '"$@"; exit $?' - "$work/src/dial" "$port"; }
chmod 755 "$work/src/dial"
code 1 run
is "$err" "connect: Connection refused" "a file that may be read: its host's loopback"
chmod 711 "$work/src/dial"
code 1 run
is "$err" "connect: Network is down" "a file that may not: no network"
is "$(<"$work/machine")" "$port" "neither has reached the machine's server"
is "$("${nobody[@]}" "$work/src/dial" "$port")" connected "which it reaches without lonet"
