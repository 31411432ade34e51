#!/bin/bash
# Real programs find hosts by any spelling of their names, and the names by their addresses; a host knows its own.
. "$(dirname "$0")/scenario.bash"
on() { lonet run --host α -- "$@"; }

# The network must not end between two programs: names would be given addresses anew.
start member lonet run --host α -- sleep 1000
joined() { lonet ls | grep -q '^α '; }
until_true joined

ip=$(on python3 -c 'import socket; print(socket.gethostbyname("β.lonet"))')
like "$ip" '^127\.[0-9]+\.0\.2$' "python3: the address of β"
is "$(on getent ahostsv4 β.lonet | awk '{print $1; exit}')" "$ip" "getent, in UTF-8"
is "$(on getent ahostsv4 xn--nxa.lonet | awk '{print $1; exit}')" "$ip" "getent, in ASCII"
is "$(on getent hosts "$ip" | awk '{print $2, $3}')" "xn--nxa.lonet β.lonet" "getent: both names of an address"
is "$(on python3 -c "import socket; print(socket.gethostbyaddr('$ip'))")" "('xn--nxa.lonet', ['β.lonet'], ['$ip'])" \
    "python3: gethostbyaddr"
is "$(on hostname)" "α.lonet" "hostname"
is "$(on uname -n)" "α.lonet" "uname -n"
is "$(on bash -c 'echo $HOSTNAME')" "α.lonet" "bash"
is "$(on hostname -f)" "xn--mxa.lonet" "hostname -f"
is "$(on python3 -c 'import socket; print(socket.getfqdn())')" "xn--mxa.lonet" "python3: getfqdn"
is "$(on python3 -c 'import socket; print([name for _, name in socket.if_nameindex()])')" "['lo', 'lonet0']" \
    "python3: interfaces"

echo "here is β" >"$work/page"
start server lonet run --host β -- python3 -m http.server --bind :: --directory "$work" 80
lonet wait --timeout 120 β:80
for name in β.lonet xn--nxa.lonet Β.LONET "$ip"; do
    is "$(on curl -sS "http://$name/page")" "here is β" "curl http://$name"
done
# (curl -6 asks for addresses of any family and then leaves out IPv4: of hosts it has none left.)
six=$(on python3 -c 'import socket; print(socket.getaddrinfo("β.lonet", 80, socket.AF_INET6)[0][4][0])')
is "$(on curl -sS "http://[$six]/page")" "here is β" "curl http://[$six]"
if command -v node >/dev/null; then
    is "$(on node -e 'require("dns").lookup("β.lonet", (e, a) => console.log(e || a))')" "$ip" "node: dns.lookup"
    is "$(on node -e 'require("dns").resolve("β.lonet", (e, a) => console.log(e ? e.code : a[0]))')" "$ip" "node: dns.resolve"
    is "$(on node -e "require('dns').lookupService('$ip', 80, (e, n, s) => console.log(n, s))")" "xn--nxa.lonet http" \
        "node: dns.lookupService"
fi
if command -v perl >/dev/null; then
    is "$(on perl -MSocket -e 'print inet_ntoa(scalar gethostbyname("β.lonet"))')" "$ip" "perl: gethostbyname"
fi
