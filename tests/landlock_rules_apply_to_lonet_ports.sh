#!/bin/bash
# A sandbox by Landlock that allows TCP ports is about the ports that its program means, on other hosts as on its own,
# whatever OS ports are behind them.
. "$(dirname "$0")/scenario.bash"
need cc python3

mkdir "$work/program"
# confine PORT COMMAND…: runs it, with this TCP port alone; 77 where the kernel has no such rules.
cat >"$work/program/confine.c" <<'C'
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	unsigned long long handled[2] = { 0, 3 }, rule[2] = { 3, argc > 2 ? strtoull(argv[1], NULL, 10) : 0 };
	int fd = (int)syscall(SYS_landlock_create_ruleset, handled, sizeof handled, 0);
	if (fd < 0)
		return 77;
	if (syscall(SYS_landlock_add_rule, fd, 2, rule, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, fd, 0))
		return 1;
	execvp(argv[2], argv + 2);
	return 1;
}
C
cc -D_GNU_SOURCE -o "$work/program/confine" "$work/program/confine.c"
confine=$work/program/confine
"$confine" 8080 true || { [ $? = 77 ] && echo "SKIPPED: this kernel has no Landlock for TCP ports" && exit 0; }

# Says what comes of a dial, or of a bind.
cat >"$work/try.py" <<'PY'
import errno, socket, sys
what, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket()
try:
    (s.connect if what == "dial" else s.bind)((host, port))
    if what == "bind":
        s.listen()
    print(s.recv(100).decode() if what == "dial" else "listens on %d" % s.getsockname()[1])
except OSError as e:
    print(errno.errorcode[e.errno])
PY
# tried ALLOWED WHAT HOST PORT
tried() {
    lonet run -H α "${flags[@]}" -- "$confine" "$1" python3 "$work/try.py" "${@:2}"
}

welcome
for ports in native private; do
    flags=(--os-ports "$ports")
    start server lonet run -H "β$ports" "${flags[@]}" -- python3 "$work/server.py" 8080
    lonet wait "β$ports:8080"
    host=β$ports.lonet
    is "$(tried 8080 dial "$host" 8080)" "welcome" "$ports: the port is allowed, and somebody listens"
    is "$(tried 8081 dial "$host" 8081)" "ECONNREFUSED" "$ports: it is allowed, and nobody listens"
    is "$(tried 8081 dial "$host" 8080)" "EACCES" "$ports: it is not allowed, and somebody listens"
    is "$(tried 8080 dial "$host" 8081)" "EACCES" "$ports: it is not allowed, and nobody listens"
    is "$(tried 8080 bind "" 8080)" "listens on 8080" "$ports: bind to a port that is allowed"
    is "$(tried 8080 bind "" 8081)" "EACCES" "$ports: bind to one that is not"
    is "$(tried 80 bind "" 80)" "listens on 80" "$ports: bind to one that is allowed, and takes a privilege elsewhere"
    # The same program as on the bare kernel.
    "$LONET_C_TESTS/posix_landlock_ports" >"$work/bare"
    lonet run -H "γ$ports" "${flags[@]}" -- "$LONET_C_TESTS/posix_landlock_ports" >"$work/hooked" || fail "$(<"$work/hooked")"
    is "$(<"$work/hooked")" "$(<"$work/bare")" "$ports: all that is the kernel's answer is"
done
