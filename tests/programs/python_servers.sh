#!/bin/bash
# The servers of Python's library (asyncio's streams, a threading and a forking socketserver, ThreadingHTTPServer) beside
# each other on one host, and their clients on another.
. "$(dirname "$0")/../scenario.bash"
need python3

cat >"$work/server.py" <<'PY'
import asyncio, http.server, socketserver, threading

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"%s %d " % (self.client_address[0].encode(), self.client_address[1]) + line)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{self.client_address[0]} {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

async def echo(reader, writer):
    async for line in reader:
        address, port = writer.get_extra_info("peername")[:2]
        writer.write(f"{address} {port} ".encode() + line)
        await writer.drain()
    writer.close()

async def main():
    async with await asyncio.start_server(echo, None, 7000) as server:
        print(sorted(s.getsockname()[:2] for s in server.sockets), flush=True)
        await server.serve_forever()

for server in (socketserver.ThreadingTCPServer(("", 7001), Echo), socketserver.ForkingTCPServer(("", 7002), Echo),
               http.server.ThreadingHTTPServer(("", 8000), Page)):
    threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main())
PY
cat >"$work/client.py" <<'PY'
import asyncio, socket, urllib.request

def conversation(port):
    with socket.create_connection(("α.lonet", port)) as s, s.makefile("rw") as lines:
        for word in "one", "two":
            print(word, file=lines, flush=True)
            print(port, lines.readline().strip())

async def stream(n):
    reader, writer = await asyncio.open_connection("α.lonet", 7000, family=socket.AF_INET)
    writer.write(b"%d\n" % n)
    line = (await reader.readline()).split()
    mine = writer.get_extra_info("sockname")
    assert [line[0].decode(), int(line[1])] == [mine[0], mine[1]], (line, mine)
    held.append(writer)
    return int(line[2])

async def streams():
    print(sum(await asyncio.gather(*map(stream, range(50)))))
    print(sorted(w.get_extra_info("sockname")[1] for w in held) == list(range(1, 51)))

held = []
conversation(7001)
conversation(7002)
print(urllib.request.urlopen("http://xn--mxa.lonet:8000/").read().decode())
asyncio.run(streams())
PY
start server lonet run -H α -- python3 "$work/server.py"
lonet wait --timeout 120 α:7000 α:7001 α:7002 α:8000
client=$(lonet run -H β -- getent ahostsv4 β.lonet | awk 'NR == 1 { print $1 }')
is "$(lonet run -H β -- python3 "$work/client.py")" "\
7001 $client 1 one
7001 $client 1 two
7002 $client 1 one
7002 $client 1 two
$client xn--mxa.lonet:8000
1225
True" "what the clients saw: fifty streams at once have ports 1 to 50"
is "$(head -n 1 "$work/server")" "[('0.0.0.0', 7000), ('::', 7000)]" "asyncio listens in both families"
