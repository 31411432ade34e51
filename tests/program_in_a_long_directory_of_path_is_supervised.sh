#!/bin/bash
# A host executes a static program that execvp finds in a directory of PATH whose name is longer than 512 bytes: that one, supervised.
. "$(dirname "$0")/scenario.bash"
need cc

cat >"$work/who.c" <<'END'
#include <stdio.h>
#include <sys/utsname.h>
int main(void)
{
	struct utsname all;
	uname(&all);
	puts(all.nodename);
	return 0;
}
END
part=$(printf 'x%.0s' {1..200})
long=$work/$part/$part/$part
mkdir -p "$long" "$work/later"
cc -static -o "$long/who" "$work/who.c"
printf '#!/bin/sh\necho another program\n' >"$work/later/who"
chmod +x "$work/later/who"
for script in "$long/who" who; do
    code 0 lonet run -H abc -- env "PATH=$long:$work/later:$PATH" "$script"
    is "$out" abc.lonet "${script##*/} is the host"
    is "$err" "" "and nothing is said"
done
code 0 lonet run -H abc -- env LONET_BIN=/no/lonet env "PATH=$long:$work/later:$PATH" who
like "$err" "^lonet: .*/who is statically linked, .*: it will use the machine's network$" "without a lonet command it is said"
