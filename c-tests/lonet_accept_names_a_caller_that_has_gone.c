/* accept stores the address of a peer that has already closed or reset the connection, ended or been
 * killed. */
#include "lonet.h"

/* What the caller does before anybody accepts; argv: "caller", address, port, go, told, way */
static int caller(char **argv)
{
	int fd = dial(argv[2], atoi(argv[3])), go = atoi(argv[4]), told = atoi(argv[5]);
	const char *way = argv[6];
	tell_number(told, port_of(fd));
	hear(go);
	if (!strcmp(way, "close"))
		close(fd);
	else if (!strcmp(way, "reset")) {
		reset_on_close(fd);
		close(fd);
	} else if (!strcmp(way, "close and dial elsewhere")) {
		/* The port is another connection's by the time of accept. */
		close(fd);
		fd = dial(argv[2], atoi(argv[3]) + 1);
	} else if (!strcmp(way, "kill"))
		kill(getpid(), SIGKILL);
	else if (!strcmp(way, "disconnect")) {
		struct sockaddr nobody = { .sa_family = AF_UNSPEC };
		connect(fd, &nobody, sizeof nobody);
	} else if (!strcmp(way, "raw close"))
		fclose(fdopen(fd, "r"));
	tell_number(told, 0);
	hear(go);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return caller(argv);
	static const char *const ways[] = { "close", "reset", "close and dial elsewhere", "kill", "disconnect",
					    "raw close", "end" };
	const char *own = address_of("α.lonet"), *beta = address_of("β.lonet");
	int ls = listener("0.0.0.0", 80), other = listener("0.0.0.0", 81);
	(void)other;
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		int go[2], told[2];
		make_pipe(go);
		make_pipe(told);
		char g[12], t[12];
		snprintf(g, sizeof g, "%d", go[0]);
		snprintf(t, sizeof t, "%d", told[1]);
		char *arguments[] = { argv[0], "caller", (char *)own, "80", g, t, (char *)ways[w], NULL };
		pid_t pid = spawn_host("β", arguments, go[0], told[1]);
		close(told[1]);
		close(go[0]);
		int port = hear_number(told[0]);
		is_int(port, 1, "%s: the caller is β:1", ways[w]);
		say(go[1]);
		hear_number(told[0]);
		if (!strcmp(ways[w], "end"))
			close(go[1]);
		if (!strcmp(ways[w], "end") || !strcmp(ways[w], "kill"))
			reap(pid);
		union sa from;
		socklen_t len = sizeof from;
		int fd = accept(ls, &from.any, &len);
		if (fd < 0)
			bail("accept");
		is_str(text(&from), name(beta, 1), "%s: accept names it", ways[w]);
		const char *after = peername(fd);
		ok(!strcmp(after, name(beta, 1)) || !strcmp(after, "ENOTCONN"), "%s: getpeername, too (%s)", ways[w], after);
		is_str(sockname(fd), name(own, 80), "%s: getsockname says what was dialed", ways[w]);
		close(fd);
		if (strcmp(ways[w], "end")) {
			close(go[1]);
			if (strcmp(ways[w], "kill"))
				reap(pid);
		}
		close(told[0]);
	}
	return done();
}
