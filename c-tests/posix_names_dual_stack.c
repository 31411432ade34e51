/* Addresses where the families meet: an AF_INET6 socket sees an IPv4 peer, and itself, v4-mapped; the
 * AF_INET socket at the other end sees plain IPv4. */
#include "net.h"

#define V4 "127.0.0.1"
#define MAPPED "::ffff:127.0.0.1"

/* A listener on ls_ip is dialed at dest; each end is then seen at its own face of the loopback address. */
static void meet(const char *ls_ip, const char *dest, const char *face_dialer, const char *face_listener)
{
	int ls = tcp(ls_ip), fd = tcp(dest);
	if (family_of(ls_ip) == AF_INET6)
		set_opt(ls, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	is_err(bind_to(ls, ls_ip, 0), 0, "%s <- %s: bind", ls_ip, dest);
	int port = port_of(ls);
	is_str(sockname(ls), name(ls_ip, port), "%s <- %s: after bind", ls_ip, dest);
	is_err(listen(ls, 8), 0, "%s <- %s: listen", ls_ip, dest);
	is_str(sockname(ls), name(ls_ip, port), "%s <- %s: after listen", ls_ip, dest);

	is_err(connect_to(fd, dest, port), 0, "%s <- %s: connect", ls_ip, dest);
	int source = port_of(fd);
	is_str(sockname(fd), name(face_dialer, source), "%s <- %s: dialer's own name", ls_ip, dest);
	is_str(peername(fd), name(face_dialer, port), "%s <- %s: dialer's peer", ls_ip, dest);

	union sa from;
	socklen_t len = sizeof from;
	int accepted = accept(ls, &from.any, &len);
	ok(accepted >= 0, "%s <- %s: accept", ls_ip, dest);
	is_int(len, len_of(&from), "%s <- %s: accept's length", ls_ip, dest);
	is_str(text(&from), name(face_listener, source), "%s <- %s: accept's address", ls_ip, dest);
	is_str(sockname(accepted), name(face_listener, port), "%s <- %s: accepted's own name", ls_ip, dest);
	is_str(peername(accepted), name(face_listener, source), "%s <- %s: accepted's peer", ls_ip, dest);
	is_int(get_opt(accepted, SOL_SOCKET, SO_DOMAIN), family_of(ls_ip), "%s <- %s: SO_DOMAIN", ls_ip, dest);
	ok(passes(fd, accepted), "%s <- %s: bytes", ls_ip, dest);

	close(fd);
	wait_for(accepted, POLLRDHUP);
	is_str(sockname(accepted), name(face_listener, port), "%s <- %s: own name after close", ls_ip, dest);
	is_str(peername(accepted), name(face_listener, source), "%s <- %s: peer after close", ls_ip, dest);
	close(accepted);
	close(ls);
}

int main(void)
{
	meet("::", V4, V4, MAPPED);
	meet("::", MAPPED, MAPPED, MAPPED);
	meet("::", "::1", "::1", "::1");
	meet(MAPPED, V4, V4, MAPPED);
	meet(MAPPED, MAPPED, MAPPED, MAPPED);
	meet("::ffff:0.0.0.0", V4, V4, MAPPED);
	meet("0.0.0.0", MAPPED, MAPPED, V4);
	meet(V4, MAPPED, MAPPED, V4);

	/* Which face reaches whom. */
	int only_v4 = listener("0.0.0.0", 0), mapped = listener(MAPPED, 0);
	is_int(dial_error("::1", port_of(only_v4)), ECONNREFUSED, "0.0.0.0 is not reached at ::1");
	is_int(dial_error("::1", port_of(mapped)), ECONNREFUSED, MAPPED " is not reached at ::1");

	/* A dual-stack socket bound to the wildcard takes the family of what it dials. */
	int fd = bound("::", 0), source = port_of(fd);
	is_str(sockname(fd), name("::", source), "bound to :: before connect");
	is_err(connect_to(fd, MAPPED, port_of(only_v4)), 0, "bound to ::, dials " MAPPED);
	is_str(sockname(fd), name(MAPPED, source), "and is " MAPPED " after");
	int accepted = take(only_v4);
	is_str(peername(accepted), name(V4, source), "and seen as 127.0.0.1");
	return done();
}
