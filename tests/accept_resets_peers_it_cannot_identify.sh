#!/bin/bash
# Whatever accept cannot ask - no descriptor is left, lonetd does not answer, a sandbox forbids sockets - nobody is let in for
# that: another user's connection is reset. Whom the kernel and the network's records name all the same is let in,
# under the right name.
. "$(dirname "$0")/scenario.bash"
need cc python3
. "$(dirname "$0")/owners.bash"
each_owner

cat >"$work/server.c" <<'C'
/* Says "ready", and for each line that it reads whom accept has returned, or why nobody. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
static void leave_descriptors(int n)
{
	int lowest = open("/dev/null", O_RDONLY);
	struct rlimit limit = { lowest + n, lowest + n };
	close(lowest);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		exit(1);
}
static void forbid_sockets(int error)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof rules / sizeof *rules, rules };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		exit(1);
}
int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	char line[16];
	if (argc < 2 || bind(ls, (struct sockaddr *)&at, sizeof at) || listen(ls, 8))
		return 1;
	if (!strcmp(argv[1], "one"))
		leave_descriptors(1);
	if (!strncmp(argv[1], "sandbox", 7))
		forbid_sockets(!strcmp(argv[1], "sandbox-ENOSYS") ? ENOSYS : !strcmp(argv[1], "sandbox-ENOBUFS") ? ENOBUFS : EPERM);
	puts("ready"), fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		socklen_t len = sizeof at;
		int fd = accept(ls, (struct sockaddr *)&at, &len);
		if (fd < 0)
			printf("%s\n", errno == ECONNABORTED ? "nobody" : strerror(errno));
		else
			printf("%s:%d\n", inet_ntoa(at.sin_addr), strcmp(inet_ntoa(at.sin_addr), "127.0.0.1") ? ntohs(at.sin_port) : 0);
		fflush(stdout);
		if (fd >= 0 && (write(fd, "welcome", 7) != 7 || close(fd)))
			return 1;
	}
	return 0;
}
C
cc -D_GNU_SOURCE -o "$work/serve" "$work/server.c"
cat >"$work/caller.py" <<'END'
import encodings.idna, os, socket, sys
if len(sys.argv) > 3:
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("connected %s:%d" % s.getsockname(), flush=True)
try:
    print(s.recv(7, socket.MSG_WAITALL).decode() or "closed")
except ConnectionResetError:
    print("reset")
END

# serve MODE: a server on host α, which descriptor 7 commands.
serve() {
    mode=$1 accepts=0
    serve_commanded "$work/serve" "$mode"
    daemon=$(lonetd)
}
# calls COMMAND…: a caller waits in the queue.
calls() {
    rm -f "$work/caller"
    start caller "$@"
    until_true grep -q connected "$work/caller"
}
# comes WHO WHAT: accept says WHO, and the caller is told WHAT.
comes() {
    local told
    accepts=$((accepts + 1))
    echo accept >&7
    until_true eval '[ "$(wc -l <"$work/server")" -gt "$accepts" ]'
    wait "$pid" || true
    told="$(tail -n 1 "$work/server"), $(tail -n 1 "$work/caller")"
    is "$told" "$1, $2" "$mode: $3"
}
outsider() { calls "${@:2}" "$python" "$work/caller.py" "${os%:*}" "${os#*:}" ${1:+"$1"}; }
owners() { outsider "" "${owner[@]}"; }
outsiders_of_others() {
    local uid
    for uid in ${outsiders[@]+"${outsiders[@]}"}; do
        outsider "$uid"
        comes nobody reset "uid $uid is reset"
    done
}
beta() {
    calls lonet run --host β -- "$python" "$work/caller.py" α.lonet 80
    beta_at=$(sed -n 's/^connected //p' "$work/caller")
}

modes=(plain one) errors=(EPERM ENOSYS ENOBUFS)
# What leaves accept without an answer is the same for each owner.
[ -z "${OWNER_IS_NOBODY-}" ] || modes=(plain) errors=(EPERM)
for mode in "${modes[@]}"; do
    serve "$mode"
    outsiders_of_others
    owners
    comes 127.0.0.1:0 welcome "the owner's program outside the network is let in"
    beta
    comes "$beta_at" welcome "a host is named"
    server_ends
done

serve silent
beta
kill -STOP "$daemon"
comes "$beta_at" welcome "a host is named"
outsiders_of_others
owners
comes 127.0.0.1:0 welcome "the owner's program outside the network is let in"
kill -CONT "$daemon"
server_ends

for error in "${errors[@]}"; do
    serve "sandbox-$error"
    outsiders_of_others
    owners
    comes 127.0.0.1:0 welcome "the owner's program outside the network is let in"
    beta
    comes "$beta_at" welcome "a host is named, by the table"
    server_ends
done
