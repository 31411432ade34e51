#!/bin/bash
# A supervised program and what it starts have no io_uring, as a filter does not see what is in a ring; with --allow-io-uring
# they have what the machine has. Where the option would do nothing it is refused.
. "$(dirname "$0")/scenario.bash"
need cc python3

cat >"$work/ring.c" <<'C'
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static const char *ring(void)
{
	struct io_uring_params parameters = { 0 };
	return syscall(SYS_io_uring_setup, 1, &parameters) < 0 ? strerror(errno) : "a ring";
}
int main(void)
{
	printf("%s, ", ring());
	fflush(stdout);
	if (!fork()) {
		printf("in a child: %s\n", ring());
		return 0;
	}
	wait(NULL);
	return 0;
}
C
cc -static -o "$work/ring" "$work/ring.c"
of_machine=$("$work/ring")
is "$(lonet run -H a -- "$work/ring")" "Function not implemented, in a child: Function not implemented" "no ring without the option"
is "$(lonet run -H a --allow-io-uring -- "$work/ring")" "$of_machine" "with it what the machine has"
is "$(lonet run -H a --allow-io-uring --trace "$work/trace" -- "$work/ring")" "$of_machine" "also of a run that is traced"
is "$(lonet run -H a --allow-io-uring --supervise always -- sh -c "$work/ring")" "$of_machine" "and in a program that could be hooked"

# With --ready the program is started by another lonet.
cat >"$work/server.py" <<'P'
import socket, subprocess, sys
print(subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout, end="", flush=True)
socket.create_server(("", 80)).accept()
P
code 0 lonet run -H b --ready 80 --log "$work/log" --allow-io-uring --supervise always -- python3 "$work/server.py" "$work/ring"
is "$(<"$work/log")" "$of_machine" "--ready passes it on"
lonet kill -s KILL b

code 125 lonet run -H a --allow-io-uring -- sh -c true
is "$err" "lonet: --allow-io-uring is for supervised programs, and \"sh\" is hooked: leave it out, or add --supervise always" \
    "a hooked program is refused it"
code 125 lonet run -H a --supervise always -- lonet run -H a --allow-io-uring -- "$work/ring"
is "$err" "lonet: --allow-io-uring has to be given where supervision begins, not inside of a supervised program" \
    "and so is what is supervised without it"
code 2 lonet run -H a --unhooked --allow-io-uring -- "$work/ring"
