/* The network may change between lonetd's reply to a dial and the kernel's connect. A connection that
 * reaches a listener it was not dialed for is never delivered, and neither side gets an error that its
 * call does not document. */
#include "lonet.h"
#include "trace.h"

enum { SERVICE = 40000, IP_LOCAL_PORT_RANGE_ = 51 };

/* argv: "dialer", address, port, told, "self" if only one source port will do; says errno, then what recv answers */
static int dialer(char **argv)
{
	int port = atoi(argv[3]), told = atoi(argv[4]), fd = tcp(argv[2]);
	unsigned range = (unsigned)port << 16 | (unsigned)port;
	if (!strcmp(argv[5], "self") && setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE_, &range, sizeof range) < 0)
		bail("IP_LOCAL_PORT_RANGE");
	trace_me();
	int error = connect_to(fd, argv[2], port) < 0 ? errno : 0;
	tell_number(told, error);
	char c;
	if (error == 0)
		tell_number(told, recv(fd, &c, 1, 0) < 0 ? errno : 0);
	tell_number(told, next_port());
	return 0;
}

static int told[2];

/* A dialer on host `host` that stands before its connect, lonetd's answer in hand. */
static pid_t dialer_before_connect(const char *host, const char *ip, int port, const char *how, char *program)
{
	char p[12], t[12];
	make_pipe(told);
	snprintf(p, sizeof p, "%d", port);
	snprintf(t, sizeof t, "%d", told[1]);
	char *arguments[] = { program, "dialer", (char *)ip, p, t, (char *)how, NULL };
	pid_t pid = spawn_host(host, arguments, told[1], -1);
	close(told[1]);
	trace_begin(pid);
	trace_to_connect(pid);
	return pid;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return dialer(argv);
	const char *own = address_of("α.lonet");
	int guard = listener(own, 1);

	/* α:40000 is another service by now: on the loopback of α alone, at the same place of the kernel's. */
	int ls = listener(own, SERVICE);
	pid_t pid = dialer_before_connect("β", own, SERVICE, "other", argv[0]);
	close(ls);
	ls = listener("127.0.0.1", SERVICE);
	fcntl(ls, F_SETFL, O_NONBLOCK);
	trace_end(pid);
	int error = hear_number(told[0]), read_error = 0;
	if (error == 0)
		wait_for(ls, POLLIN);
	is_err(accept(ls, NULL, NULL), EAGAIN, "a service on the loopback does not get the call for the host's address");
	if (error == 0)
		read_error = hear_number(told[0]);
	ok(error == ECONNREFUSED || read_error == ECONNRESET, "the caller is refused or reset (%s, %s)", tap_errno(error),
	   tap_errno(read_error));
	is_int(hear_number(told[0]), 1, "and holds no port");
	reap(pid);
	/* The listener works on. */
	int fd = dial("127.0.0.1", SERVICE), accepted = take(ls);
	ok(passes(fd, accepted), "the service accepts who dials it");
	close(fd);
	close(accepted);
	close(ls);

	/* A blocking accept does not return for what was not meant, and returns for the next caller. */
	ls = listener(own, SERVICE);
	pid = dialer_before_connect("β", own, SERVICE, "other", argv[0]);
	close(ls);
	ls = listener("127.0.0.1", SERVICE);
	trace_end(pid);
	error = hear_number(told[0]);
	fd = dial("127.0.0.1", SERVICE);
	accepted = take(ls);
	ok(passes(fd, accepted), "a blocking accept returns the caller that was meant");
	reap(pid);
	close(fd);
	close(accepted);
	close(ls);

	/* The same service, made anew: that is who was dialed. */
	ls = listener(own, SERVICE);
	pid = dialer_before_connect("β", own, SERVICE, "other", argv[0]);
	close(ls);
	ls = listener("0.0.0.0", SERVICE);
	trace_end(pid);
	is_int(hear_number(told[0]), 0, "a listener that came back at the same port is reached");
	union sa from;
	socklen_t len = sizeof from;
	accepted = accept(ls, &from.any, &len);
	is_str(text(&from), name(address_of("β.lonet"), 1), "and accept names the caller");
	close(accepted);
	close(ls);
	reap(pid);

	/* Nobody is there by now. */
	ls = listener(own, SERVICE);
	pid = dialer_before_connect("β", own, SERVICE, "other", argv[0]);
	close(ls);
	trace_end(pid);
	is_int(hear_number(told[0]), ECONNREFUSED, "a listener that has gone refuses");
	is_int(hear_number(told[0]), 1, "and the caller holds no port");
	reap(pid);

	/* Nobody is there, and the kernel gives the caller the listener's port: it would reach itself. */
	ls = listener(own, SERVICE + 1); /* nothing is left in the kernel of earlier connections to this one */
	unsigned any = 0;
	if (setsockopt(ls, IPPROTO_IP, IP_LOCAL_PORT_RANGE_, &any, sizeof any) < 0)
		printf("# this kernel (before 6.3) cannot be told a source port: a dial of itself is not tested\n");
	else {
		pid = dialer_before_connect("α", own, SERVICE + 1, "self", argv[0]);
		close(ls);
		trace_end(pid);
		is_int(hear_number(told[0]), ECONNREFUSED, "a socket does not reach itself");
		is_int(hear_number(told[0]), 2, "and holds no port");
		reap(pid);
	}
	close(guard);
	return done();
}
