/* Among many held ports the lowest free one is exact at once after a close that a hook saw, and soon after
 * one that none saw. */
#include "lonet.h"
#include "ways_to_close.h"

enum { HELD = 200, LOW = 40, HIGH = 150 };

int main(void)
{
	int held[HELD];
	hold(held, HELD);
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		static const int indexes[] = { LOW, HIGH };
		for (int i = 0; i < 2; i++) {
			int n = indexes[i], port = port_of(held[n]);
			ways[w].end(held[n]);
			if (ways[w].seen)
				is_int(next_port(), port, "port %d of %d is next at once after %s", port, HELD, ways[w].shown);
			else
				ok(next_becomes(port), "port %d of %d is next soon after %s", port, HELD, ways[w].shown);
			/* Where the way has left /dev/null. */
			close(fcntl(held[n], F_GETFD) < 0 ? -1 : held[n]);
			held[n] = bound_to_next("0.0.0.0");
		}
	}
	close_all(held + 10, HELD - 20);
	is_int(next_port(), 11, "all in the middle closed: the first of them is next");
	close_all(held, 10);
	is_int(next_port(), 1, "the low ones, too: 1 is next");
	return done();
}
