/* The port of a dial that did not bind can be bound by number, as source ports on a machine are never
 * well-known ones: the two do not conflict. An unspecified port is neither of them. */
#include "lonet.h"

int main(void)
{
	enum { DIALS = 40, SSH = 22 };
	int ls = listener("127.0.0.1", 28998), dials[DIALS], accepted[DIALS];
	for (int i = 0; i < DIALS; i++) {
		dials[i] = dial("127.0.0.1", 28998);
		accepted[i] = take(ls);
	}
	is_str(sockname(dials[SSH - 1]), name("127.0.0.1", SSH), "a dial has port 22");
	int sshd = tcp("0.0.0.0");
	is_err(bind_to(sshd, "0.0.0.0", SSH), 0, "a server binds it all the same");
	is_err(listen(sshd, 8), 0, "and listens");
	int caller = dial("127.0.0.1", SSH), served = take(sshd);
	is_str(peername(served), name("127.0.0.1", DIALS + 1), "its callers get the next free port");
	ok(passes(caller, served), "they are served");
	ok(passes(dials[SSH - 1], accepted[SSH - 1]), "and the dial goes on");
	int other = tcp("0.0.0.0");
	is_err(bind_to(other, "0.0.0.0", SSH), EADDRINUSE, "a second server does not get the port");

	int l2 = listener("127.0.0.1", 28999), again = tcp("127.0.0.1");
	is_err(bind_to(again, "127.0.0.1", 1), 0, "the port of another dial is bound");
	is_err(connect_to(again, "127.0.0.1", 28998), EADDRNOTAVAIL, "and cannot dial what that has dialed");
	is_err(connect_to(again, "127.0.0.1", port_of(l2)), 0, "but another listener");
	close(again);

	close(dials[SSH - 1]);
	is_int(next_port(), DIALS + 2, "the dial has gone: the port is the server's");
	close(dials[0]);
	is_int(next_port(), 1, "a port that a dial alone had is free");
	close(caller);
	close(served);
	close(sshd);
	is_err(bind_to(other, "0.0.0.0", SSH), 0, "the server has gone: another one may bind it");
	return done();
}
