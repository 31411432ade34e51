#!/bin/bash
# A supervised program that executes another one in a chroot, where nothing of lonet is: that is supervised like it, as a host
# that is dialed by name, be it static or not.
. "$(dirname "$0")/scenario.bash"
need cc

as=()
[ "$(id -u)" = 0 ] || as=(unshare --user --map-root-user)
if ! "${as[@]}" chroot / true 2>"$work/chroot"; then
    echo "skipped: no user namespace may be made here, which who is not root needs for a chroot"
    exit 0
fi
cd "$work"
cat >program.c <<'END'
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* enter DIRECTORY PROGRAM: executes it there. serve: greets who calls, and says who that was. */
int main(int argc, char **argv)
{
	if (argc > 3) {
		if (chroot(argv[2]) || chdir("/"))
			return perror("chroot"), 1;
		execl(argv[3], argv[3], "serve", (char *)0);
		return perror("exec"), 1;
	}
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&at, len) || listen(listener, 1))
		return perror("listen"), 1;
	int call = accept(listener, (void *)&at, &len);
	if (call < 0 || write(call, "welcome\n", 8) != 8)
		return perror("accept"), 1;
	printf("from %s\n", inet_ntoa(at.sin_addr));
	return 0;
}
END
mkdir -p there/bin
cc -static -o there/bin/static program.c
cc -o there/bin/dynamic program.c
ldd there/bin/dynamic | grep -o '/[^ ]*' >libraries
xargs -a libraries cp --parents -Lt there
for program in static dynamic; do
    start "$program" lonet run --host "$program" --supervise always -- "${as[@]}" "$work/there/bin/static" enter there "/bin/$program"
    code 0 lonet wait "$program:1"
    code 0 lonet run --host caller -- bash -c "getent ahostsv4 caller.lonet && exec 3<>/dev/tcp/$program.lonet/1 && cat <&3"
    like "$out" "welcome" "$program: by name"
    until_true grep -q from "$work/$program"
    is "$(<"$work/$program")" "from ${out%%[[:space:]]*}" "$program: the caller is the host"
done
