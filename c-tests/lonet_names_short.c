/* A name without a dot is searched for as on a machine called α.lonet: in its own domain or those of
 * LOCALDOMAIN, and by HOSTALIASES, in all calls alike. Names of no host are libc's; here no name server is
 * queried. */
#include "hosts.h"
#include "resolve.h"
#include <resolv.h>

/* A name server that is nobody, so that nothing is asked of one that is there. */
static void ask_nobody(struct __res_state *state)
{
	state->nscount = 1;
	state->nsaddr_list[0] = at("127.0.0.1", 1).v4;
}

/* The address that is found, or "none". */
static const char *by_getaddrinfo(const char *name)
{
	const char *ip = address_of(name, AF_INET);
	return strncmp(ip, "error", 5) ? ip : "none";
}

static const char *by_hostent(struct hostent *h)
{
	static char ip[64];
	return h ? inet_ntop(h->h_addrtype, h->h_addr_list[0], ip, sizeof ip) : "none";
}

static const char *by_search(const char *name, struct __res_state *state)
{
	static char ip[64];
	unsigned char answer[512];
	int n = state ? res_nsearch(state, name, ns_c_in, ns_t_a, answer, sizeof answer) :
			res_search(name, ns_c_in, ns_t_a, answer, sizeof answer);
	return n < 0 ? "none" : inet_ntop(AF_INET, answer + n - 4, ip, sizeof ip);
}

/* What all calls find, if that is the same. */
static const char *by_all(const char *name)
{
	static char first[64];
	struct __res_state state = { 0 };
	struct hostent entry, *h;
	char buffer[1024];
	int code;
	if (res_init() || res_ninit(&state))
		bail("res_init");
	ask_nobody(&_res);
	ask_nobody(&state);
	snprintf(first, sizeof first, "%s", by_getaddrinfo(name));
	if (strcmp(by_hostent(gethostbyname(name)), first))
		return "gethostbyname differs";
	if (strcmp(by_hostent(gethostbyname2(name, AF_INET)), first))
		return "gethostbyname2 differs";
	if (strcmp(by_hostent(gethostbyname_r(name, &entry, buffer, sizeof buffer, &h, &code) ? NULL : h), first))
		return "gethostbyname_r differs";
	if (strcmp(by_search(name, NULL), first))
		return "res_search differs";
	if (strcmp(by_search(name, &state), first))
		return "res_nsearch differs";
	res_nclose(&state);
	return first;
}

/* The same of this program with another environment, as libc reads it once. */
static const char *with(const char *variable, const char *value, const char *name)
{
	static char said[64];
	int ends[2];
	if (pipe(ends))
		bail("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		setenv(variable, value, 1);
		execl("/proc/self/exe", "names", name, NULL);
		_exit(127);
	}
	close(ends[1]);
	ssize_t n = read(ends[0], said, sizeof said - 1);
	said[n > 0 ? n : 0] = 0;
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return said;
}

/* Where the machine has domains of its own to be searched, lonet has to be named. */
static void name_lonet_if_need_be(void)
{
	char line[512];
	FILE *file = fopen("/etc/resolv.conf", "re");
	while (file && fgets(line, sizeof line, file))
		if (!strncmp(line, "search", 6) || !strncmp(line, "domain", 6))
			setenv("LOCALDOMAIN", "lonet", 1);
	if (file)
		fclose(file);
}

static const char *aliases(const char *text)
{
	static char path[] = "aliases.XXXXXX";
	int fd = mkstemp(path);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		bail("aliases");
	close(fd);
	return path;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		const char *said = by_all(argv[1]);
		return write(STDOUT_FILENO, said, strlen(said)) < 0;
	}
	name_lonet_if_need_be();
	struct host b = host("beta"), other = host("β");
	ask(b, "listen l 0.0.0.0 1");
	ask(other, "listen l 0.0.0.0 1");
	const char *v4 = address_of("beta.lonet", AF_INET), *v6 = address_of("beta.lonet", AF_INET6);

	is_str(by_all("beta"), v4, "the host's own domain, in all calls");
	is_str(by_getaddrinfo("BETA"), v4, "in any case");
	is_str(by_getaddrinfo("β"), address_of("β.lonet", AF_INET), "in any script");
	is_str(by_getaddrinfo("α"), address_of("α.lonet", AF_INET), "the host itself");
	is_str(address_of("beta", AF_INET6), v6, "with its IPv6 address");
	is_str(by_getaddrinfo("beta."), "none", "a name that ends in a dot is not searched for");
	is_str(by_getaddrinfo("localhost"), "127.0.0.1", "localhost is what it is");
	is_str(ask(b, "resolve beta"), v4, "so it is for the others");
	is_str(by_all("nobody"), "none", "what no host is called");
	is_str(by_all("nobody"), "none", "gets no address by being asked for");
	setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
	struct host c = host("c"), bare = machine();
	is_str(ask(c, "resolve nobody"), ask(bare, "resolve nobody"), "its error is the machine's");
	leave(c);
	leave(bare);
	unsetenv("RES_OPTIONS");

	struct addrinfo hints = { .ai_flags = AI_CANONNAME, .ai_family = AF_INET }, *list;
	if (getaddrinfo("beta", "80", &hints, &list))
		bail("getaddrinfo");
	is_str(list->ai_canonname, "beta.lonet", "the canonical name is the full one");
	freeaddrinfo(list);
	struct hostent *h = gethostbyname("beta");
	is_str(h ? h->h_name : "none", "beta.lonet", "so is gethostbyname's");
	struct gaicb request = { .ar_name = "beta" }, *requests[] = { &request };
	is_int(getaddrinfo_a(GAI_WAIT, requests, 1, NULL), 0, "getaddrinfo_a");
	is_int(gai_error(&request), 0, "finds it");
	hints.ai_flags = AI_NUMERICHOST;
	is_int(getaddrinfo("beta", NULL, &hints, &list), EAI_NONAME, "AI_NUMERICHOST takes no name");

	is_str(with("LOCALDOMAIN", "example.invalid", "beta"), "none", "LOCALDOMAIN names another domain");
	is_str(with("LOCALDOMAIN", "lonet", "beta"), v4, "LOCALDOMAIN names lonet");
	is_str(with("LOCALDOMAIN", "example.invalid lonet", "beta"), v4, "LOCALDOMAIN names lonet behind another");
	is_str(with("RES_OPTIONS", "ndots:0", "beta"), v4, "the name as it is first, by ndots");
	_res.options &= ~RES_DEFNAMES;
	is_str(by_getaddrinfo("beta"), "none", "without RES_DEFNAMES");
	_res.options |= RES_DEFNAMES;

	setenv("HOSTALIASES", aliases("db beta.lonet\nweb beta\n"), 1);
	is_str(by_all("db"), v4, "HOSTALIASES, in all calls");
	is_str(by_getaddrinfo("web"), v4, "an alias is searched for");
	h = gethostbyname("db");
	is_str(h ? h->h_name : "none", "beta.lonet", "the host has its name");
	_res.options |= RES_NOALIASES;
	is_str(by_getaddrinfo("db"), "none", "without aliases");
	unlink(getenv("HOSTALIASES"));
	unsetenv("HOSTALIASES");

	leave(b);
	is_str(by_getaddrinfo("beta"), "none", "a host that has gone is found no more");
	leave(other);
	return done();
}
