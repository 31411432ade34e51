/* 127.0.0.1 and ::1 are the host's own: each of five hosts has and reaches its own 127.0.0.1:6379, which
 * cannot be reached from another host or at the host's own address. */
#include "hosts.h"

enum { HOSTS = 5 };

static void each_has_its_own(struct host *hosts, struct host other, const char *loopback)
{
	for (int i = 0; i < HOSTS; i++)
		is_str(ask(hosts[i], "listen l %s 6379", loopback), "ok", "host %d listens on %s", i, name(loopback, 6379));
	is_str(ask(other, "dial d %s 6379", loopback), "ECONNREFUSED", "a sixth host has nothing there");
	for (int i = 0; i < HOSTS; i++) {
		is_str(ask(hosts[i], "dial d %s 6379", loopback), "ok", "host %d dials it", i);
		char dialer[64];
		snprintf(dialer, sizeof dialer, "%s", ask(hosts[i], "name d"));
		is_str(ask(hosts[i], "accept c l"), dialer, "and is the one who accepts");
		is_str(ask(hosts[i], "peer d"), name(loopback, 6379), "both ends are called by the loopback");
		is_str(ask(hosts[i], "name c"), name(loopback, 6379), "as on any machine");
		is_str(ask(other, "dial d h%d.lonet 6379", i), "ECONNREFUSED", "not reached from outside");
		is_str(ask(hosts[i], "dial e h%d.lonet 6379", i), "ECONNREFUSED", "nor under its own address");
	}
	for (int i = 0; i < HOSTS; i++) {
		ask(hosts[i], "close c");
		ask(hosts[i], "close d");
		ask(hosts[i], "close l");
	}
}

int main(void)
{
	struct host hosts[HOSTS], other = host("other");
	for (int i = 0; i < HOSTS; i++) {
		char called[8];
		snprintf(called, sizeof called, "h%d", i);
		hosts[i] = host(called);
	}
	each_has_its_own(hosts, other, "127.0.0.1");
	each_has_its_own(hosts, other, "::1");

	is_str(ask(other, "listen l 0.0.0.0 6379"), "ok", "a listener on all addresses");
	is_str(ask(other, "dial d 127.0.0.1 6379"), "ok", "is reached on the loopback");
	is_str(ask(other, "peer d"), "127.0.0.1:6379", "under that name");

	/* As on any machine, what is bound to the loopback does not leave it. */
	is_str(ask(hosts[0], "listen out 0.0.0.0 80"), "ok", "another host listens");
	is_str(ask(other, "bind near 127.0.0.2 0"), "ok", "a socket at another address of the loopback's");
	is_str(ask(other, "dial near h0.lonet 80"), "EINVAL", "does not reach it");
	for (int i = 0; i < HOSTS; i++)
		leave(hosts[i]);
	leave(other);
	return done();
}
