#!/bin/bash
# Libraries that others preload work beside liblonet.so, before it and behind it: libfaketime, the allocators jemalloc and
# tcmalloc, and AddressSanitizer, which insists on being first.
. "$(dirname "$0")/../scenario.bash"
need cc curl libfaketime libjemalloc libtcmalloc python3

start server lonet run --host β -- python3 -m http.server --directory "$work" 80
echo "here is β" >"$work/page"
lonet wait --timeout 120 β:80

# A client with threads and children, each of which asks β.
cat >"$work/client.py" <<'PY'
import os, socket, threading, time, urllib.request
def ask():
    assert urllib.request.urlopen("http://xn--nxa.lonet/page").read() == b"here is \xce\xb2\n"
for _ in range(3):
    threads = [threading.Thread(target=ask) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    pid = os.fork()
    if pid == 0:
        ask()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
server = socket.create_server(("0.0.0.0", 0))
print(socket.gethostname(), server.getsockname()[1], time.gmtime().tm_year)
PY
# run PRELOAD…: LD_PRELOAD as it is given
# shellcheck disable=SC2046 # words: variables
as_given() { env LD_PRELOAD="$1" $(lonet env -H α | sed 's/^export //; /LD_PRELOAD/d' | tr -d "'") FAKETIME="@2001-02-03 04:05:06" "${@:2}"; }

for other in "$(path_of libfaketime)" "$(path_of libjemalloc)" "$(path_of libtcmalloc)"; do
    case $other in *faketime*) year=2001 ;; *) year=$(date -u +%Y) ;; esac
    for both in "$library:$other" "$other:$library"; do
        is "$(as_given "$both" python3 "$work/client.py")" "α.lonet 1 $year" "LD_PRELOAD=${both//*(\/*([^:])\/)/}"
        is "$(as_given "$both" curl -sS http://β.lonet/page)" "here is β" "curl with the same"
    done
done
is "$(LD_PRELOAD=$(path_of libfaketime) FAKETIME="@2001-02-03 04:05:06" lonet run -H α -- python3 "$work/client.py")" \
    "α.lonet 1 2001" "what was in LD_PRELOAD stays with lonet run"

# The runtime insists on coming first, but not where liblonet.so says that it need not (src/liblonet/sanitizer.rs).
cat >"$work/asan.c" <<'C'
#include <netdb.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME }, *list;
	struct ifaddrs *all;
	char host[65], c;
	if (gethostname(host, sizeof host) || getaddrinfo("β.lonet", "80", &hints, &list) || getifaddrs(&all))
		return 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, list->ai_addr, list->ai_addrlen) || write(fd, "GET /page HTTP/1.0\r\n\r\n", 22) != 22 || read(fd, &c, 1) != 1)
		return 2;
	printf("%s has reached %s\n", host, list->ai_canonname);
	freeaddrinfo(list);
	freeifaddrs(all);
	close(fd);
	if (getenv("LEAK"))
		*(volatile char *)malloc(1) = 0;
	return 0;
}
C
cc -g -fsanitize=address,undefined -fno-sanitize-recover=all -o "$work/asan" "$work/asan.c"
is "$(lonet run -H α -- "$work/asan" 2>&1)" "α.lonet has reached xn--nxa.lonet" "a program with AddressSanitizer"
is "$(lonet run -H α -- sh -c 'exec "$0"' "$work/asan" 2>&1 | head -n 1)" "α.lonet has reached xn--nxa.lonet" \
    "which a host's shell starts"
like "$(LEAK=1 lonet run -H α -- "$work/asan" 2>&1 || true)" 'LeakSanitizer: detected memory leaks' "and it finds what is wrong"
