/* A port is free as soon as its last socket is gone, whatever ended it: the next listen without bind gets
 * it, and the next bind gets it by number. */
#include "hosts.h"

static struct host a;

/* In which ways a process can hold port 1: the socket that does is s. */
static void hold(struct host h, const char *how)
{
	if (!strcmp(how, "bound")) {
		is_str(ask(h, "bind s 0.0.0.0 1"), "ok", "port 1 is free");
	} else if (!strcmp(how, "listening")) {
		is_str(ask(h, "listen s 0.0.0.0 1"), "ok", "port 1 is free");
	} else {
		is_str(ask(h, "dial s β.lonet 80"), "ok", "β is reached");
		is_int(port_in(ask(h, "name s")), 1, "from port 1, which is free");
	}
	is_str(ask(a, "first other 0.0.0.0"), "2", "%s: port 1 is held", how);
	ask(a, "close other");
}

static void is_free(const char *how, const char *end)
{
	is_str(ask(a, "first other 0.0.0.0"), "1", "%s, %s: port 1 is free", how, end);
	ask(a, "close other");
	is_str(ask(a, "listen other 0.0.0.0 1"), "ok", "%s, %s: also by number", how, end);
	ask(a, "close other");
}

int main(void)
{
	static const char *const ways[] = { "bound", "listening", "connected" };
	struct host b = host("β");
	a = host("α");
	is_str(ask(b, "listen l 0.0.0.0 80"), "ok", "β listens");
	for (int i = 0; i < 3; i++) {
		hold(a, ways[i]);
		ask(a, "close s");
		is_free(ways[i], "close");

		hold(a, ways[i]);
		is_str(ask(a, "fclose s"), "ok", "fclose");
		is_free(ways[i], "fclose");

		hold(a, ways[i]);
		is_str(ask(a, "first second 0.0.0.0"), "2", "a second socket");
		is_str(ask(a, "dup2 second s"), "ok", "dup2 of it over the first");
		is_free(ways[i], "dup2 over it");
		ask(a, "close s");
		ask(a, "close second");

		struct host other = host("α");
		hold(other, ways[i]);
		leave(other);
		is_free(ways[i], "exit");

		other = host("α");
		hold(other, ways[i]);
		kill_host(other);
		is_free(ways[i], "SIGKILL");
	}
	leave(a);
	leave(b);
	return done();
}
