#!/bin/bash
# What `lonet explain` tells of a dial of an IP address, of either family, is what a dial of it meets: the same host answers, or
# it fails the same way. Of addresses and names that are not lonet's it says that the machine has to tell.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import os, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
if sys.argv[2] == "v6only":
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
own = os.environ["LONET_HOST"] + ".lonet"
s.bind((socket.gethostbyname(own) if sys.argv[1] == "own" else sys.argv[1], 8080))
s.listen()
while True:
    s.accept()[0].sendall(b"%d" % os.getpid())
PY
cat >"$work/dial.py" <<'PY'
"""Dials each address, and prints it with who answers, or with the errno."""
import errno, socket, sys
for to in sys.argv[1:]:
    host, port = to.rsplit(":", 1)
    outcome = None
    for family, kind, _, _, at in socket.getaddrinfo(host.strip("[]") or "localhost", int(port), type=socket.SOCK_STREAM):
        s = socket.socket(family, kind)
        try:
            s.connect(at)
            outcome = s.recv(20).decode()
            break
        except OSError as e:
            outcome = errno.errorcode[e.errno]
    print(to, outcome)
PY
declare -A server
serve() { # HOST ADDRESS [v6only]: in the order in which the hosts get their addresses
    start "$1" lonet run -H "$1" -- python3 "$work/server.py" "$2" "${3:-}"
    server[$1]=$pid
    lonet wait --loopback --timeout 120 "$1:8080"
}
serve lo 127.0.0.1
serve lo6 ::1
serve six ::
serve four 0.0.0.0
serve only6 :: v6only
serve own own
block=$(lonet ls --json | jq -r '.hosts[0].address' | cut -d . -f 2)
# face I: the IPv6 address of host number I.
face() { printf '[fd6c:6f6e:6574:%x::%x]' "$block" "$1"; }

to=(127.0.0.1:8080 '[::1]:8080' '[::ffff:127.0.0.1]:8080' 0.0.0.0:8080 '[::]:8080' localhost:8080 :8080
    127.1:8080 0x7f.0.0.1:8080 0.0:8080 "127.$block.3:8080" "0177.$block.0.04:8080")
for i in {1..7}; do
    to+=("127.$block.0.$i:8080" "$(face "$i"):8080" "[::ffff:127.$block.0.$i]:8080")
done
to+=("127.$block.0.0:8080" "127.$block.255.254:8080" "[fd6c:6f6e:6574:$(printf %x "$block"):1::1]:8080")
for host in lo lo6 six four only6 own; do to+=("$host.lonet:8080"); done
for from in lo lo6 six four only6 own; do
    lonet run -H "$from" -- python3 "$work/dial.py" "${to[@]}" >"$work/dialed"
    for address in "${to[@]}"; do
        got=0
        said=$(lonet explain "$from" "$address" 2>&1) || got=$?
        case $said in
            *" and reaches python3 (pid "*) outcome="$(sed -E 's/.* reaches python3 \(pid ([0-9]+)\).*/\1/' <<<"$said")" want=0 ;;
            *"the dial is refused"*) outcome=ECONNREFUSED want=1 ;;
            *"the dial fails with \"no route to host\""*) outcome=EHOSTUNREACH want=1 ;;
            *) fail "explain $from $address: $said" ;;
        esac
        [ "$got" = "$want" ] || fail "explain $from $address: exit code $got: $said"
        dialed=$(awk -v to="$address" '$1 == to' "$work/dialed")
        [ "$dialed" = "$address $outcome" ] || fail "explain $from $address: \"$said\", but the dial: $dialed"
    done
    echo "ok: what $from dials"
done

code 0 lonet explain four "127.$block.0.3:8080"
like "$out" "^four dials six:8080 and reaches python3 \(pid ${server[six]}\), which listens there" "another host's address"
code 1 lonet explain lo '[::1]:8080'
is "$out" "the dial is refused: python3 (pid ${server[lo]}) listens on lo:8080 only at 127.0.0.1, not at ::1; with LONET_LOOPBACK=real it goes \
to the machine's own port 8080" "the loopback's other family"
code 1 lonet explain lo only6:8080
is "$out" "the dial is refused: python3 (pid ${server[only6]}) listens on only6:8080 only at :: with IPV6_V6ONLY (IPv6 alone), not at \
127.$block.0.5, as which programs know it that do not ask for IPv6" "a name, where only IPv6 is listened to"
code 1 lonet explain lo "127.$block.0.9:8080"
is "$out" "the dial fails with \"no route to host\": no host with the address 127.$block.0.9 is up in network $LONET_NETWORK" "an address that no host has"

machines="the dial is the machine's, as without lonet, and only a dial can tell what listens there"
other=$((block % 254 + 1))
for ip in 8.8.8.8 127.0.0.2 "127.$other.0.1" "fd6c:6f6e:6574:$(printf %x $other)::1"; do
    at=$ip
    [[ $ip != *:* ]] || at="[$ip]"
    code 0 lonet explain lo "$at:80"
    is "$out" "$ip is no address of network $LONET_NETWORK: $machines" "$ip"
done
code 0 lonet explain lo example.com:443
is "$out" "example.com is no name of lonet's, which end in .lonet, so that the machine resolves it: $machines" "a name with a dot"
