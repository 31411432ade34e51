/* hosts.h - several hosts, and the bare machine, in one test.
 *
 *     struct host b = host("β");                    a process on host β (a copy of this program)
 *     is_str(ask(b, "listen a 0.0.0.0 80"), "ok", "β listens on :80");
 *     is_str(ask(b, "name a"), "0.0.0.0:80", "…");
 *     leave(b);                                     it ends, as by exit
 *
 * host(NULL) is a process that is no host (no LONET_HOST), machine() one that lonet does not reach, and host_with()
 * one with variables of its own. (They are executed by the system call: the hook of execve would keep the host.) Such a process does what it is asked, one line at a time, and says how it went:
 * what the line is to say, or the name of the error. Sockets are called by a word of the test's choice.
 *
 *     listen S IP PORT    bind S IP PORT    dial S IP PORT    →  ok
 *     accept S LISTENER   →  the address that accept gave
 *     autobind S IP       →  the port that bind to port 0 got
 *     first S IP          →  the port that listen got without a bind: the first free one
 *     name S, peer S      →  what getsockname, getpeername say
 *     dup2 S OVER         →  ok; OVER is S, too, from then on
 *     close S, fclose S   →  ok
 *     resolve NAME        resolve6 NAME        →  the first address
 *     comm NAME           →  ok; what the kernel calls the process
 *
 * As an IP any name does that getaddrinfo knows.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include "net.h"
#include <netdb.h>
#include <sys/syscall.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AGENT "LONET_TEST_AGENT"

/* ------------------------------------------------------------------ the process that is asked */

static struct agent_socket {
	char word[24];
	int fd;
} agent_sockets[256];

/* The socket of that name; a new name gets a slot with fd -1. */
static inline struct agent_socket *agent_socket(const char *word)
{
	struct agent_socket *s = agent_sockets;
	while (s->word[0] && strcmp(s->word, word))
		s++;
	if (!s->word[0]) {
		snprintf(s->word, sizeof s->word, "%s", word);
		s->fd = -1;
	}
	return s;
}

static inline int agent_resolve(const char *node, int family, union sa *to)
{
	struct addrinfo hints, *list;
	memset(&hints, 0, sizeof hints);
	hints.ai_family = family;
	hints.ai_socktype = SOCK_STREAM;
	int err = getaddrinfo(node, NULL, &hints, &list);
	if (!err) {
		memcpy(to, list->ai_addr, list->ai_addrlen);
		freeaddrinfo(list);
	}
	return err;
}

static inline const char *agent_eai(int err)
{
	return err == EAI_NONAME ? "EAI_NONAME" : err == EAI_AGAIN ? "EAI_AGAIN" : err == EAI_FAMILY ? "EAI_FAMILY" : "EAI";
}

static inline const char *agent_ip(const union sa *a)
{
	static char ip[INET6_ADDRSTRLEN];
	inet_ntop(a->any.sa_family, a->any.sa_family == AF_INET ? (void *)&a->v4.sin_addr : (void *)&a->v6.sin6_addr,
		  ip, sizeof ip);
	return ip;
}

static inline const char *agent_result(int result)
{
	return result < 0 ? tap_errno(errno) : "ok";
}

/* bind, listen, dial, autobind: a socket, an address, a call. */
static inline const char *agent_open(const char *verb, struct agent_socket *s, const char *ip, const char *port)
{
	union sa a;
	int err = agent_resolve(ip, AF_UNSPEC, &a);
	if (err)
		return agent_eai(err);
	if (s->fd < 0)
		s->fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	a.v4.sin_port = htons((in_port_t)atoi(port));
	int dials = !strcmp(verb, "dial"), first = !strcmp(verb, "first"), result = 0;
	if (!first)
		result = dials ? connect(s->fd, &a.any, len_of(&a)) : bind(s->fd, &a.any, len_of(&a));
	if (result == 0 && (first || !strcmp(verb, "listen")))
		result = listen(s->fd, 64);
	int saved = errno;
	if (result < 0) {
		close(s->fd);
		s->fd = -1;
	}
	errno = saved;
	if (result == 0 && (first || !strcmp(verb, "autobind"))) {
		static char got[8];
		snprintf(got, sizeof got, "%d", port_of(s->fd));
		return got;
	}
	return agent_result(result);
}

static inline const char *agent_accept(struct agent_socket *s, const struct agent_socket *listener)
{
	union sa a;
	socklen_t len = sizeof a;
	s->fd = accept(listener->fd, &a.any, &len);
	return s->fd < 0 ? tap_errno(errno) : text(&a);
}

static inline const char *agent_close(struct agent_socket *s, int by_fclose)
{
	FILE *file = by_fclose ? fdopen(s->fd, "r+") : NULL;
	int result = by_fclose ? fclose(file) : close(s->fd);
	s->fd = -1;
	return agent_result(result);
}

static inline const char *agent_do(char *line)
{
	char *save, *word[4] = { NULL, NULL, NULL, NULL };
	const char *verb = strtok_r(line, " \n", &save);
	for (int i = 0; verb && i < 4; i++)
		word[i] = strtok_r(NULL, " \n", &save);
	if (!verb || !word[0])
		return "what?";
	if (!strncmp(verb, "resolve", 7)) {
		union sa a;
		int err = agent_resolve(word[0], verb[7] ? AF_INET6 : AF_INET, &a);
		return err ? agent_eai(err) : agent_ip(&a);
	}
	if (!strcmp(verb, "comm"))
		return agent_result(prctl(PR_SET_NAME, word[0]));

	struct agent_socket *s = agent_socket(word[0]);
	if (!strcmp(verb, "name"))
		return sockname(s->fd);
	if (!strcmp(verb, "peer"))
		return peername(s->fd);
	if (!strcmp(verb, "close") || !strcmp(verb, "fclose"))
		return agent_close(s, *verb == 'f');
	if (!strcmp(verb, "accept"))
		return agent_accept(s, agent_socket(word[1]));
	if (!strcmp(verb, "dup2"))
		return agent_result(dup2(s->fd, agent_socket(word[1])->fd));
	return agent_open(verb, s, word[1], word[2] ? word[2] : "0");
}

/* A copy of the program that was started to be asked does nothing else. */
__attribute__((constructor)) static void agent_main(void)
{
	if (!getenv(AGENT))
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	tap_watchdog();
	static char line[512];
	while (fgets(line, sizeof line, stdin)) {
		puts(agent_do(line));
		fflush(stdout);
	}
	_exit(0);
}

/* ------------------------------------------------------------------ the test's side */

struct host {
	pid_t pid;
	FILE *to, *from;
};

/* name NULL: no LONET_HOST. variables: NAME=VALUE …, then NULL; NAME alone takes it away. */
static inline struct host host_with(const char *name, const char *const *variables)
{
	int to[2], from[2];
	make_pipe(to);
	make_pipe(from);
	struct host h;
	h.pid = fork();
	if (h.pid < 0)
		bail("fork");
	if (h.pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		setenv(AGENT, "1", 1);
		name ? setenv("LONET_HOST", name, 1) : unsetenv("LONET_HOST");
		for (; *variables; variables++)
			strchr(*variables, '=') ? putenv((char *)*variables) : unsetenv(*variables);
		/* Not by execl: under lonet that puts back what was taken out of the environment here. */
		syscall(SYS_execve, "/proc/self/exe", (char *[]){ "agent", NULL }, environ);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	h.to = fdopen(to[1], "w");
	h.from = fdopen(from[0], "r");
	return h;
}

static inline struct host host(const char *name)
{
	static const char *const none[] = { NULL };
	return host_with(name, none);
}

/* The machine itself, with its real loopback. */
static inline struct host machine(void)
{
	static const char *const none[] = { "LD_PRELOAD", NULL };
	return host_with(NULL, none);
}

/* What it says, in one of 16 buffers that are used in turn. */
__attribute__((format(printf, 2, 3))) static inline const char *ask(struct host h, const char *line, ...)
{
	static char ring[16][256];
	static unsigned turn;
	char *out = ring[turn++ % 16];
	va_list args;
	va_start(args, line);
	vfprintf(h.to, line, args);
	va_end(args);
	fputc('\n', h.to);
	if (fflush(h.to) || !fgets(out, sizeof ring[0], h.from))
		bail("asking process %d: %s", (int)h.pid, line);
	out[strcspn(out, "\n")] = 0;
	return out;
}

/* The port at the end of what it said; -1 if it said no address. */
static inline int port_in(const char *said)
{
	const char *colon = strrchr(said, ':');
	return colon ? atoi(colon + 1) : -1;
}

/* Ends it by exit, with its sockets open; or by KILL. It has ended when this returns. */
static inline void leave(struct host h)
{
	fclose(h.to);
	reap(h.pid);
	fclose(h.from);
}

static inline void kill_host(struct host h)
{
	kill(h.pid, SIGKILL);
	reap(h.pid);
	fclose(h.to);
	fclose(h.from);
}

#endif
