/* 10,000 dials and closes leave ports, descriptors and memory as they were. */
#include "api.h"

/* Resident memory of a process, in KiB. */
static long memory(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
		bail("/proc/self/statm");
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE) / 1024;
}

int main(int argc, char **argv)
{
	/* What all share is touched for the first time in the first hundred dials: that is no growth. */
	int dials = argc > 1 ? atoi(argv[1]) : 10000, warm = dials > 1500 ? dials / 10 : 150, wrong = 0;
	/* The first look takes memory itself, as valgrind translates it. */
	long before = memory();
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0), *b = host(net, "β", 0);
	int l = listening(a, ":1"), free_fd = lowest_free();

	for (int i = 0; i < dials; i++) {
		if (i == warm)
			before = memory();
		struct lonet_addr al, ap, dl, dp;
		int d = lonet_dial(b, "α:1", -1), s = lonet_accept(l, 0, &al, &ap);
		if (d < 0 || s < 0 || lonet_local_addr(d, &dl) < 0 || lonet_peer_addr(d, &dp) < 0)
			bail("dial %d: %s", i, lonet_errmsg());
		wrong += dl.port != 1 || ap.port != 1 || dp.port != 2 || al.port != 2;
		if (i % 16 == 0) /* TIME_WAIT on the other end, now and then */
			close(s), close(d);
		else
			close(d), close(s);
		tap_watchdog();
	}
	is_int(wrong, 0, "%d dials: always the same ports", dials);
	is_int(lowest_free(), free_fd, "the same descriptors");
	long more = memory() - before;
	ok(more < 256, "%ld KiB more memory", more);
	is_addr(local(listening(b, "")), "β:1", "all ports are free");
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
