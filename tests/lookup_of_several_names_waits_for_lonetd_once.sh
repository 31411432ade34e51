#!/bin/bash
# A call that looks up several names, or one in two steps, waits for a stopped lonetd 5 s for all of them: getaddrinfo_a, and
# res_search of a short name.
. "$(dirname "$0")/scenario.bash"
need cc

cat >"$work/names.c" <<'C'
/* Looks up names that nobody has asked for: argv[1] says by which function. */
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
int main(int argc, char **argv)
{
	struct gaicb each[3] = { { .ar_name = "one.lonet" }, { .ar_name = "two" }, { .ar_name = "three.lonet" } };
	struct gaicb *all[3] = { &each[0], &each[1], &each[2] };
	unsigned char answer[512];
	struct timespec begin, end;
	int failed;
	puts("ready"), fflush(stdout), getchar();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (argc > 1 && !strcmp(argv[1], "all")) {
		getaddrinfo_a(GAI_WAIT, all, 3, NULL);
		failed = each[0].__return == EAI_AGAIN && each[1].__return == EAI_AGAIN && each[2].__return == EAI_AGAIN;
	} else {
		failed = res_search("four", ns_c_in, ns_t_a, answer, sizeof answer) < 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	long taken = end.tv_sec - begin.tv_sec;
	printf(taken < 10 ? "%s\n" : "%s after %ld s\n", failed ? "none" : "found", taken);
	return 0;
}
C
mkdir "$work/program"
cc -D_GNU_SOURCE -o "$work/program/names" "$work/names.c" -lresolv -lanl
commanded 5 several lonet run --host α -- env LOCALDOMAIN=lonet "$work/program/names" all
commanded 6 searched lonet run --host α -- env LOCALDOMAIN=lonet "$work/program/names" search
for log in several searched; do until_true grep -q ready "$work/$log"; done
daemon=$(lonetd)
end_the_rest() { kill -CONT "$daemon" 2>/dev/null || true; }
stop_lonetd
for n in 5 6; do eval "echo >&$n"; done
for log in several searched; do until_true eval '[ "$(wc -l <"$work/$log")" -gt 1 ]'; done
kill -CONT "$daemon"
exec 5>&- 6>&-
is "$(tail -n 1 "$work/several")" none "a lookup of several names waits once"
is "$(tail -n 1 "$work/searched")" none "so does a search for a short name"
