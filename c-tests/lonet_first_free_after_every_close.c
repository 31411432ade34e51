/* However a socket's last descriptor is closed, the next autobind gets its port if that is the lowest free
 * one. */
#include "lonet.h"
#include "ways_to_close.h"

/* What stays open beside the socket that is to die; its port is not port 4. */
static int beside;

static int a_bound(void)
{
	beside = -1;
	return bound_to_next("0.0.0.0");
}

static int a_listener(void)
{
	beside = -1;
	return listener("::", 0);
}

static int server, server_port;

/* Dialed from the first free port. */
static int a_dialed(void)
{
	int fd = dial("127.0.0.1", server_port);
	beside = take(server);
	return fd;
}

static int a_dialed_whose_peer_went_first(void)
{
	int fd = dial("127.0.0.1", server_port);
	close(take(server));
	wait_for(fd, POLLIN);
	beside = -1;
	return fd;
}

static int a_bound_and_dialed(void)
{
	int fd = bound_to_next("127.0.0.1");
	if (connect_to(fd, "127.0.0.1", server_port) < 0)
		bail("connect");
	beside = take(server);
	return fd;
}

/* It keeps its listener's port after the listener. */
static int an_accepted(void)
{
	int ls = listener("127.0.0.1", 0), port = port_of(ls);
	beside = dial("127.0.0.1", port);
	int fd = take(ls);
	close(ls);
	return fd;
}

static int a_listener_that_was_shut_down(void)
{
	int fd = listener("0.0.0.0", 0);
	shutdown(fd, SHUT_RDWR);
	beside = -1;
	return fd;
}

static const struct {
	const char *shown;
	int (*make)(void);
} kinds[] = {
	{ "a bound socket", a_bound },
	{ "a listener", a_listener },
	{ "a dialed socket", a_dialed },
	{ "a dialed socket whose peer closed first", a_dialed_whose_peer_went_first },
	{ "a socket bound before it dialed", a_bound_and_dialed },
	{ "an accepted socket", an_accepted },
	{ "a listener that was shut down", a_listener_that_was_shut_down },
};

int main(void)
{
	server = listener("127.0.0.1", 0);
	server_port = port_of(server);
	int held[2];
	hold(held, 2);
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
			int fd = kinds[k].make(), after = bound_to_next("0.0.0.0");
			if (next_port() == 4)
				bail("%s: port 4 is not held", kinds[k].shown);
			ways[w].end(fd);
			if (ways[w].late)
				ok(next_becomes(4), "%s: free soon after %s", kinds[k].shown, ways[w].shown);
			else
				is_int(next_port(), 4, "%s: free at once after %s", kinds[k].shown, ways[w].shown);
			close(fcntl(fd, F_GETFD) < 0 ? -1 : fd);
			close(after);
			if (beside >= 0)
				close(beside);
		}
	}
	close_all(held, 2);
	return done();
}
