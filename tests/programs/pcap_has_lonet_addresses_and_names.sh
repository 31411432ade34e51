#!/bin/bash
# A capture has the addresses and ports that programs see, whatever the kernel's are, the hosts' names, and the processes; each
# packet is there once and is right.
. "$(dirname "$0")/../packets.bash"
where_packets_can_be_read "$@"
. "$(dirname "$0")/../scenario.bash"
need tshark python3 jq

cat >"$work/server.py" <<'END'
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 80), Page).serve_forever()
END
cat >"$work/client.py" <<'END'
import http.client, sys
def get(connection, path):
    connection.request("GET", path)
    assert connection.getresponse().read() == b"hello"
kept = http.client.HTTPConnection("bücher.lonet", 80)
get(kept, "/before")
print("ready", flush=True)
sys.stdin.readline()
get(kept, "/kept")
# As short as connections are.
for n in range(200):
    short = http.client.HTTPConnection("bücher.lonet", 80)
    get(short, f"/short/{n}")
    short.close()
try:
    http.client.HTTPConnection("bücher.lonet", 81).connect()
    sys.exit("nobody listens there")
except ConnectionRefusedError:
    pass
print("done", flush=True)
sys.stdin.readline()
END
# Whose OS port is never the lonet port.
start server env LONET_OS_PORTS=private lonet run --host bücher -- python3 "$work/server.py"
server=$pid
lonet wait --timeout 120 bücher:80
commanded 3 client lonet run --host laptop -- python3 "$work/client.py"
client=$pid
until_true grep -q ready "$work/client"
web=$(lonet ls --json | jq -r '.hosts[] | select(.name == "bücher").address')
laptop=$(lonet ls --json | jq -r '.hosts[] | select(.name == "laptop").address')
capture file
echo >&3
until_true grep -q "done" "$work/client"
captured

requests=$(fields file http.request ip.src tcp.srcport ip.dst tcp.dstport http.request.uri)
is "$(sed 1q <<<"$requests")" "$laptop 1 $web 80 /kept" "a connection from before the capture"
is "$(tail -n +2 <<<"$requests")" "$(for n in {0..199}; do echo "$laptop 2 $web 80 /short/$n"; done)" \
    "short connections, each with its lonet ports, once"
is "$(fields file http.response ip.src tcp.srcport ip.dst tcp.dstport | sort | uniq -c | awk '{$1 = $1; print}')" "\
1 $web 80 $laptop 1
200 $web 80 $laptop 2" "the answers"
is "$(fields file 'tcp.flags.syn == 1 && tcp.flags.ack == 0' tcp.dstport | sort | uniq -c | awk '{$1 = $1; print}')" "200 80" \
    "each dial's first packet is there once"
is "$(tshark -o tcp.check_checksum:TRUE -r "$work/captures/file" -Y 'tcp && tcp.checksum.status != 1' 2>/dev/null)" "" \
    "checksums are right"
is "$(fields file "tcp && ip.src == $laptop && frame.comment" frame.comment | sort -u)" "sent by python3 (pid $client) on laptop" "who dials"
is "$(fields file "ip.src == $web && frame.comment" frame.comment | sort -u)" "sent by python3 (pid $server) on bücher" "who answers"
is "$(tshark -N n -r "$work/captures/file" -Y http.request -T fields -e ip.src_host -e ip.dst_host 2>/dev/null | sort -u)" \
    "laptop.lonet	bücher.lonet" "the hosts' names"
is "$(fields file 'exported_pdu' exported_pdu.ipv4_src exported_pdu.src_port exported_pdu.ipv4_dst exported_pdu.dst_port frame.comment)" \
    "$laptop 2 $web 81 laptop python3($client) refused laptop:2 → bücher:81 error=ECONNREFUSED" "a refused dial is an event"
capinfos "$work/captures/file" >"$work/infos" 2>&1 || fail "capinfos: $(<"$work/infos")"
like "$(<"$work/infos")" "Number of interfaces in file: 2" "capinfos takes it"

# Queries of a resolver of its own, which lonetd answers at other ports.
cat >"$work/resolver.py" <<'END'
import re, socket, struct
try:
    server = re.search(r"^nameserver ([0-9.]+)$", open("/etc/resolv.conf").read(), re.M)[1]
except (OSError, TypeError):
    server = "127.0.0.1"
query = b"\0\1\1\0\0\1\0\0\0\0\0\0\6laptop\5lonet\0\0\1\0\1"
udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
udp.connect((server, 53))
udp.send(query)
udp.recv(512)
tcp.connect((server, 53))
tcp.send(struct.pack("!H", len(query)) + query)
tcp.recv(512)
END
capture names
lonet run --host laptop -- python3 "$work/resolver.py"
captured
for protocol in udp tcp; do
    is "$(fields names "dns && $protocol" $protocol.srcport $protocol.dstport dns.qry.name | sed -E 's/[0-9]{3,}/other/')" "\
other 53 laptop.lonet
53 other laptop.lonet" "DNS by $protocol is of port 53"
done
echo >&3
