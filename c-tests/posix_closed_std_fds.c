/* With 0, 1 and 2 closed, sockets get these numbers, lowest first, and nothing else writes to them. */
#include "net.h"

/* What happened, kept until there is a standard output again. */
static struct { int ls, fd, accepted, second, refused, same_number; long sent, got, extra; char data[8]; } r;

static void without_std(void)
{
	union sa a = at("127.0.0.1", 0);
	socklen_t len = sizeof a;
	char c;
	r.ls = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(r.ls, &a.any, len_of(&a)) < 0 || listen(r.ls, 8) < 0 || getsockname(r.ls, &a.any, &len) < 0)
		return;
	r.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(r.fd, &a.any, len_of(&a)) < 0)
		return;
	r.accepted = accept(r.ls, NULL, NULL);

	/* What is freed is given again. */
	int spare = socket(AF_INET, SOCK_STREAM, 0);
	close(r.fd);
	recv(r.accepted, &c, 1, 0);
	close(r.accepted);
	int holder = socket(AF_INET, SOCK_STREAM, 0);
	r.same_number = holder;
	union sa closed = at("127.0.0.1", 0);
	len = sizeof closed;
	if (bind(holder, &closed.any, len_of(&closed)) < 0 || getsockname(holder, &closed.any, &len) < 0)
		return;
	r.refused = connect(spare, &closed.any, len_of(&closed)) < 0 ? errno : 0;
	close(holder);
	r.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(r.fd, &a.any, len_of(&a)) < 0)
		return;
	r.second = accept(r.ls, NULL, NULL);
	r.sent = send(r.fd, "payload", 7, MSG_NOSIGNAL);
	shutdown(r.fd, SHUT_WR);
	r.got = recv(r.second, r.data, 7, MSG_WAITALL);
	r.extra = recv(r.second, &c, 1, 0);
	shutdown(r.second, SHUT_WR);
	r.extra += recv(r.fd, &c, 1, 0);
	close(spare);
}

int main(void)
{
	int saved[3];
	for (int i = 0; i < 3; i++)
		saved[i] = fcntl(i, F_DUPFD, 100);
	/* Whatever else was inherited would take part in the count. */
	close_range(3, 99, 0);
	for (int i = 0; i < 3; i++)
		close(i);
	without_std();
	for (int i = 0; i < 3; i++) {
		close(i);
		if (saved[i] >= 0)
			dup2(saved[i], i);
	}

	is_int(r.ls, 0, "the first socket is 0");
	is_int(r.accepted, 2, "the third, which accept gave, is 2");
	is_int(r.same_number, 1, "the lowest number that was freed is given next");
	is_int(r.refused, ECONNREFUSED, "a refusal is a refusal");
	is_int(r.fd, 1, "the dialer is 1");
	is_int(r.second, 2, "the second that accept gave is 2");
	is_int(r.sent, 7, "the payload is sent");
	is_int(r.got, 7, "and arrives");
	is_str(r.data, "payload", "as it was");
	is_int(r.extra, 0, "and nothing besides, in either direction");
	return done();
}
