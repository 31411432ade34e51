/* getaddrinfo_a answers for hosts, alone and among other names, waiting or not, and notifies. */
#include "resolve.h"

static const char *got(struct gaicb *r)
{
	static char text_of_it[64];
	int code = gai_error(r);
	if (code) {
		snprintf(text_of_it, sizeof text_of_it, "error %d", code);
		return text_of_it;
	}
	getnameinfo(r->ar_result->ai_addr, r->ar_result->ai_addrlen, text_of_it, sizeof text_of_it, NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(r->ar_result);
	return text_of_it;
}

static int notified[2];

static void tell(union sigval v)
{
	(void)v;
	say(notified[1]);
}

int main(void)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct gaicb ours = { .ar_name = "β.lonet", .ar_service = "80", .ar_request = &hints }, ours2 = ours, bad = ours;
	struct gaicb theirs = { .ar_name = "127.0.0.1", .ar_request = &hints }, theirs2 = theirs;
	struct gaicb *list[] = { &ours, NULL, &theirs, &bad };
	const char *ip = address_of("β.lonet", AF_INET);
	char none[32];
	bad.ar_name = "a.b.lonet";
	snprintf(none, sizeof none, "error %d", EAI_NONAME);

	is_int(getaddrinfo_a(GAI_WAIT, list, 4, NULL), 0, "waiting for three");
	is_str(got(&ours), ip, "a host");
	is_str(got(&theirs), "127.0.0.1", "another name");
	is_str(got(&bad), none, "what cannot be a host");
	ok(list[0] == &ours && list[2] == &theirs && list[3] == &bad, "the list is as it was");

	make_pipe(notified);
	struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = tell };
	struct gaicb *again[] = { &ours2, &theirs2 };
	is_int(getaddrinfo_a(GAI_NOWAIT, again, 2, &event), 0, "not waiting");
	ok(hear(notified[0]), "it tells when it has all");
	is_str(got(&ours2), ip, "the host");
	is_str(got(&theirs2), "127.0.0.1", "the other name");

	struct gaicb *alone[] = { &ours };
	is_int(getaddrinfo_a(GAI_NOWAIT, alone, 1, &event), 0, "a host alone");
	ok(hear(notified[0]), "it tells");
	is_int(gai_suspend((const struct gaicb *const *)alone, 1, NULL), EAI_ALLDONE, "there is nothing to wait for");
	is_str(got(&ours), ip, "the host");
	return done();
}
