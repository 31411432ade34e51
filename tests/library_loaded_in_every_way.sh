#!/bin/bash
# liblonet.so linked, opened by dlopen, preloaded and opened on top of that: the hooks are there where it was preloaded, and
# where a program that is linked with it is a host; the C API is there always; dlclose takes nothing away that is in use.
. "$(dirname "$0")/scenario.bash"
need cc

cat >"$work/ways.c" <<'C'
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lonet.h"

/* Whether a plain socket is a lonet host's: an autobind gets a port that the kernel never gives. */
static const char *plain(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int done = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0;
	close(fd);
	return !done ? "fails" : ntohs(a.sin_port) < 1024 ? "hooked" : "native";
}

#ifdef LINKED
#define get(name) name
#else
static void *library;
#define get(name) ((__typeof__(&name))dlsym(library, #name))
#endif

/* A listener and a caller through the C API. */
static const char *api(const char *network)
{
	lonet_net *net;
	lonet_host *host;
	struct lonet_addr peer;
	if (get(lonet_join)(network, &net) || get(lonet_host_new)(net, "δ", 0, &host))
		return get(lonet_errmsg)();
	int ls = get(lonet_listen)(host, "", 1), fd = get(lonet_dial)(host, "δ:1", -1), a = get(lonet_accept)(ls, 0, NULL, NULL);
	int good = a >= 0 && get(lonet_peer_addr)(a, &peer) == 0 && !strcmp(peer.host, "δ");
	close(a), close(fd), close(ls);
	return get(lonet_leave)(net) == 0 && good ? "works" : "fails";
}

int main(int argc, char **argv)
{
	const char *network = argv[1];
	printf("%s", plain());
#ifndef LINKED
	for (int i = 3; i < argc; i++) {
		library = dlopen(argv[2], !strcmp(argv[i], "local") ? RTLD_NOW | RTLD_LOCAL : RTLD_LAZY | RTLD_GLOBAL);
		if (!library)
			return puts(dlerror()), 1;
		printf(" %s", api(network));
		dlclose(library);
	}
#else
	(void)argc;
	printf(" %s", api(network));
#endif
	printf(" %s\n", plain());
	return 0;
}
C
include=$work/include && mkdir "$include"
for header in "$tests/../prefix/include/lonet.h" "$tests/../include/lonet.h"; do [ ! -e "$header" ] || cp "$header" "$include"; done
cc -I "$include" -o "$work/opens" "$work/ways.c"
cc -I "$include" -DLINKED -o "$work/linked" "$work/ways.c" "$library" -Wl,-rpath,"${library%/*}"
network=$LONET_NETWORK
# shellcheck disable=SC2046 # words: variables
as_host() { env $(lonet env -H α | sed 's/^export //; /LD_PRELOAD/d' | tr -d "'") "$@"; }

is "$("$work/linked" "$network")" "native works native" "linked: the program's own sockets are the machine's"
is "$(as_host "$work/linked" "$network")" "hooked works hooked" "linked, as a host: they are the host's"
is "$("$work/opens" "$network" "$library" local)" "native works native" "dlopen, RTLD_LOCAL"
is "$("$work/opens" "$network" "$library" global)" "native works native" "dlopen, RTLD_GLOBAL"
is "$("$work/opens" "$network" "$library" local global local)" "native works works works native" "opened and closed again and again"
is "$(lonet run -H α -- "$work/opens" "$network" "$library" local global)" "hooked works works hooked" "preloaded, and opened twice"

# What a program loads while it runs.
cat >"$work/plugin.c" <<'C'
#include <unistd.h>
int name(char *to, unsigned long n) { return gethostname(to, n); }
C
cat >"$work/loads.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
static void say(const char *how, void *library, const char *symbol)
{
	char host[65] = "";
	int (*name)(char *, unsigned long) = library ? (__typeof__(name))dlsym(library, symbol) : NULL;
	printf("%s %s\n", how, name && name(host, sizeof host) == 0 && strstr(host, ".lonet") ? "hooked" : "not");
}
int main(int argc, char **argv)
{
	(void)argc;
	say("local", dlopen(argv[1], RTLD_NOW | RTLD_LOCAL), "name");
	say("global", dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL), "name");
	say("default", RTLD_DEFAULT ? RTLD_DEFAULT : dlopen(NULL, RTLD_NOW), "gethostname");
	say("deepbind", dlopen(argv[3], RTLD_NOW | RTLD_DEEPBIND), "name");
	say("dlmopen", dlmopen(LM_ID_NEWLM, argv[4], RTLD_NOW), "name");
	say("libc", dlopen("libc.so.6", RTLD_NOW), "gethostname");
}
C
for i in 1 2 3 4; do cc -shared -fPIC -o "$work/plugin$i.so" "$work/plugin.c"; done
cc -o "$work/loads" "$work/loads.c"
is "$(lonet run -H α -- "$work/loads" "$work"/plugin{1,2,3,4}.so)" \
    $'local hooked\nglobal hooked\ndefault hooked\ndeepbind not\ndlmopen not\nlibc not' \
    "plugins are hooked, but for those that ask for libc's own functions"
