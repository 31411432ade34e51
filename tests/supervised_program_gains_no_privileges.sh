#!/bin/bash
# What a supervised program of an unprivileged user executes gains no privileges: neither by a set-user-ID file nor by a file's
# capabilities, which it would have without lonet.
. "$(dirname "$0")/scenario.bash"
as_another_user
need cc setcap setpriv

chmod 711 "$work"
mkdir -m 755 "$work/src"
cat >"$work/src/privileges.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char line[200];
	FILE *status = fopen("/proc/self/status", "r");
	printf("user %d", (int)geteuid());
	while (status && fgets(line, sizeof line, status))
		if (!strncmp(line, "CapEff:", 7))
			printf(", capabilities %lx", strtoul(line + 7, NULL, 16));
	puts("");
	return 0;
}
C
cc -static -o "$work/src/plain" "$work/src/privileges.c"
cp "$work/src/plain" "$work/src/set-user"
cp "$work/src/plain" "$work/src/capable"
chmod u+s "$work/src/set-user"
setcap cap_net_raw=ep "$work/src/capable" || true
mkdir "$work/nobodys"
chown 65534:65534 "$work/nobodys"
nobody=(env TMPDIR="$work/nobodys" HOME="$work/nobodys" setpriv --reuid 65534 --regid 65534 --clear-groups)
gained=$("${nobody[@]}" "$work/src/set-user")
if [ "${gained%%,*}" != "user 0" ]; then
    echo "skipped: nobody gains privileges here"
    exit 0
fi
files=(plain set-user)
# CAP_NET_RAW is bit 13.
if [ "$("${nobody[@]}" "$work/src/capable")" = "user 65534, capabilities 2000" ]; then
    files+=(capable)
else
    echo "left out: files' capabilities do not count here"
fi
for file in "${files[@]}"; do
    # shellcheck disable=SC2016
    is "$("${nobody[@]}" lonet run --host a --supervise always -- sh -c '"$0"; true' "$work/src/$file")" "user 65534, capabilities 0" \
        "none by a file that is $file"
done
