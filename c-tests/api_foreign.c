/* Hosts of another subnetwork, run by a peer in Python (tests/peer, given by LONET_PEER), can be dialed
 * and dial, and their names are taken. */
#include "api.h"

static const char script[] =
	"import os, sys, time\n"
	"sys.path.insert(0, os.environ['LONET_PEER'])\n"
	"import lonetpeer\n"
	"net = lonetpeer.Network(sys.argv[1], sys.argv[2])\n"
	"def tell(conn, local, remote):\n"
	"    conn.sendall((local + ' ' + remote + '\\n').encode())\n"
	"    conn.recv(1)\n"
	"g = net.host('γ')\n"
	"g.listen(80, tell)\n"
	"slow = net.host('slow one')\n"
	"slow.answer_with(lambda conn, line: time.sleep(30))\n"
	"print('ready', flush=True)\n"
	"sys.stdin.readline()\n"
	"conn, local, remote = g.dial('α', 10, b'early')\n"
	"print(local, remote, conn.recv(100).decode(), flush=True)\n"
	"sys.stdin.readline()\n"
	"net.close()\n";

static const char *line_of_file(FILE *f)
{
	static char line[200];
	if (!fgets(line, sizeof line, f))
		bail("the peer has ended");
	line[strcspn(line, "\n")] = 0;
	return line;
}

static const char *line_of(int fd)
{
	static char line[200];
	size_t n = 0;
	while (n < sizeof line - 1 && recv(fd, &line[n], 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return line;
}

int main(void)
{
	if (!getenv("LONET_PEER")) {
		puts("1..0 # skip: LONET_PEER is not set");
		return 0;
	}
	lonet_net *net = joined(NULL);
	lonet_host *a = host(net, "α", 0);
	const char *n = lonet_network(net);
	int l = listening(a, ":10"), to[2], from[2];
	char dir[4096];
	snprintf(dir, sizeof dir, "%s/lonet/%s", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", n + 5);

	make_pipe(to);
	make_pipe(from);
	pid_t pid = fork_child();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		unsetenv("LD_PRELOAD");
		execlp("python3", "python3", "-c", script, dir, n + 5, (char *)NULL);
		_exit(127);
	}
	close(from[1]);
	FILE *answers = fdopen(from[0], "r");
	is_str(line_of_file(answers), "ready", "the peer has its hosts");

	is_err(lonet_host_new(net, "γ", 0, NULL), EEXIST, "a name of the peer's is taken");
	ok(strstr(lonet_errmsg(), "host already registered"), "it says: %s", lonet_errmsg());
	is_err(lonet_host_new(net, "γ", LONET_SHARE, NULL), EEXIST, "and cannot be shared");

	int d = lonet_dial(a, "γ:80", 10000);
	ok(d >= 0, "its host is dialed: %s", d < 0 ? lonet_errmsg() : "connected");
	is_str(line_of(d), "γ:80 α:1", "and sees who calls");
	is_addr(local(d), "α:1", "the local address");
	is_addr(peer(d), "γ:80", "the peer's");
	ok(!(fcntl(d, F_GETFL) & O_NONBLOCK), "the descriptor blocks");
	is_fail(lonet_dial(a, "γ:81", -1), ECONNREFUSED, "dial %s α:2->γ:81: connection refused", n);
	is_fail(lonet_dial(a, "slow one:1", 100), ETIMEDOUT, "dial %s α:2->slow one:1: connection timed out", n);
	int s = lonet_dial_start(a, "γ:80");
	ok(s >= 0 && wait_for(s, POLLOUT) & POLLOUT, "a dial without waiting");
	is_int(get_opt(s, SOL_SOCKET, SO_ERROR), 0, "gets through");
	is_addr(peer(s), "γ:80", "to its host");
	wait_for(s, POLLIN);
	is_str(line_of(s), "γ:80 α:2", "which sees the next port");
	close(s);
	/* Where the peer has no processor to answer at once the dial is relayed: it gets through, and is reset later. */
	int refusal = 0;
	for (int tries = 0; tries < 4000 && (refusal == 0 || refusal == ECONNRESET); tries++) {
		s = lonet_dial_start(a, "γ:81");
		if (s < 0 || !(wait_for(s, POLLOUT) & POLLOUT))
			bail("a dial to where nobody listens");
		refusal = get_opt(s, SOL_SOCKET, SO_ERROR);
		close(s);
	}
	is_int(refusal, ECONNREFUSED, "one to where nobody listens is refused");
	s = lonet_dial_start(a, "slow one:1");
	ok(s >= 0, "one to a slow host is under way");
	close(s);

	say(to[1]);
	if (write(to[1], "\n", 1) != 1)
		bail("write");
	struct ends e = accepted(l);
	is_addr(e.local, "α:2", "a dial of its host is accepted on the first free port");
	is_addr(e.peer, "γ:1", "and has its name");
	is_addr(local(e.fd), "α:2", "the local address of the descriptor");
	is_addr(peer(e.fd), "γ:1", "and its peer's");
	char got[6] = "";
	is_int(recv(e.fd, got, 5, MSG_WAITALL), 5, "what it has sent early");
	is_str(got, "early", "is all there");
	is_int(send(e.fd, "answer", 6, 0), 6, "and the answer");
	is_str(line_of_file(answers), "γ:1 α:2 answer", "arrives");
	close(d);
	close(e.fd);
	is_addr(local(listening(a, "")), "α:1", "the ports are free again");
	if (write(to[1], "\n", 1) != 1)
		bail("write");
	is_int(reap(pid), 0, "the peer ends");
	fclose(answers);
	is_fail(lonet_dial(a, "γ:80", -1), EHOSTUNREACH, "dial %s α:2->γ:80: no such host", n);
	is_err(lonet_host_new(net, "γ", 0, NULL), 0, "and its name is free");
	is_err(lonet_leave(net), 0, "leaving");
	return done();
}
