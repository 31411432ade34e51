#!/bin/bash
# Servers of other people's on a host of root's network, and another user who calls each at its real address: twenty times one
# after the other, twenty at once, twenty that reset at once, some that say nothing, and one that is there when the server has
# just taken a member. The other user never gets a byte, the server's processes stay the same, and members are served.
. "$(dirname "$0")/../scenario.bash"
need busybox java javac nginx node python3 redis-server setpriv ss
as_another_user
# shellcheck source=../owners.bash
. "$tests/owners.bash"

# caller.py HOST:PORT REQUEST COUNT HOW: says how often what came of the calls. HOW: `one` after the other, all `together`,
# `silent` (asks nothing), or `abort` (resets as soon as the connection stands).
cat >"$work/caller.py" <<'END'
import collections, encodings.idna, socket, struct, sys
(host, port), request, count, how = sys.argv[1].rsplit(":", 1), sys.argv[2], int(sys.argv[3]), sys.argv[4]

# None: it has been reset before connect returned.
def connect():
    try:
        s = socket.create_connection((host, int(port)), 30)
    except ConnectionResetError:
        s = None
    print("connected", file=sys.stderr, flush=True)
    return s

def ask(s):
    got = b""
    try:
        if how != "silent":
            s.sendall(request.encode())
        while b"welcome" not in got:
            data = s.recv(4096)
            if not data:
                return f"closed after {got}"
            got += data
        return "welcome"
    except (ConnectionResetError, BrokenPipeError):
        return f"reset after {got}" if got else "reset"
    except TimeoutError:
        return f"left waiting after {got}"

def come_of(s):
    if s is None:
        return "reset"
    if how != "abort":
        return ask(s)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "aborted"

told = collections.Counter()
at_once = count if how in ("together", "abort") else 1
for _ in range(count // at_once):
    for s in [connect() for _ in range(at_once)]:
        told[come_of(s)] += 1
        s and s.close()
print(*(f"{what} {n}" for what, n in sorted(told.items())), sep=", ")
END
# Each: CONNECTED REQUEST COUNT HOW. To $work/CONNECTED goes a line for each connection that stands.
member() { lonet run --host β -- "$python" "$work/caller.py" α.lonet:80 "${@:2}" 2>"$work/$1"; }
owner() { "$python" "$work/caller.py" "$os" "${@:2}" 2>"$work/$1"; }
outsider() { "${third[@]}" "$python" "$work/caller.py" "$os" "${@:2}" 2>"$work/$1"; }

# The server's processes that stay, each with the time when it began. What serves one call ends with it.
processes() {
    local p
    for p in "$server" ${workers[@]+"${workers[@]}"}; do
        ! ended "$p" || { echo "$p has ended" && continue; }
        sed 's/.*) //' "/proc/$p/stat" | awk -v p="$p" '{ print p, $20 }'
    done
}
connected() { [ "$(grep -c connected "$work/$1")" -ge "$2" ]; }
begin() {
    rm -f "$work/$1"
    "${@:2}" >"$work/$1" &
    callers+=("$!")
    started+=("$!")
}

serving() {
    start "$1.log" lonet run --host α -- "${@:2}"
    server=$pid workers=()
    lonet wait --timeout 60 α:80
    os=$(lonet addr α:80)
}

stopped() {
    local p
    for p in "$server" ${workers[@]+"${workers[@]}"}; do
        [ -z "$(grep -L '^State:.T' /proc/"$p"/task/*/status)" ] || return 1
    done
}
# A caller may have connected before the kernel has put it where accept finds it.
queued() { [ "$(ss -tlnH | awk -v at="${os%:*}" 'index($4, at) { n += $2 } END { print n + 0 }')" = "$1" ]; }
# Another user waits behind a member: the server finds it when it looks for the next caller, and has not waited for it.
one_behind_a_member() {
    local callers=()
    kill -STOP "$server" ${workers[@]+"${workers[@]}"}
    until_true stopped
    rm -f "$work/ahead" "$work/behind-it"
    begin served member ahead "$1" 1 one
    until_true connected ahead 1
    begin behind outsider behind-it "$1" 1 one
    until_true connected behind-it 1
    until_true queued 2
    kill -CONT "$server" ${workers[@]+"${workers[@]}"}
    wait "${callers[@]}"
}

# tried NAME REQUEST COMMAND…: a server on α:80, which answers the REQUEST with "welcome".
tried() {
    local name=$1 request=$2 before
    shift 2
    serving "$name" "$@"
    is "$(member calls "$request" 2 one)" "welcome 2" "$name serves a member"
    is "$(owner calls "$request" 1 one)" "welcome 1" "and a program of the owner's at the real address"
    mapfile -t workers < <([ "$name" != nginx ] || pgrep -P "$server")
    before=$(processes)

    is "$(outsider calls "$request" 20 one)" "reset 20" "it resets twenty of another user's there, one after the other"
    is "$(outsider calls "$request" 20 together)" "reset 20" "twenty at once"
    is "$(outsider calls "$request" 5 silent)" "reset 5" "and who says nothing"
    like "$(outsider calls "$request" 20 abort)" "^aborted 20|aborted [0-9]+, reset [0-9]+$|^reset 20$" "twenty leave it at once"
    is "$(member calls "$request" 2 one)" "welcome 2" "it serves a member then"

    one_behind_a_member "$request"
    is "$(<"$work/served")" "welcome 1" "it serves a member that another user is behind"
    is "$(<"$work/behind")" "reset 1" "and resets that one"
    is "$(member calls "$request" 2 one)" "welcome 2" "and serves the next member"

    local callers=() n
    for n in 1 2 3 4; do
        begin "among$n" outsider "calls$n" "$request" 20 one
    done
    is "$(member calls "$request" 20 one)" "welcome 20" "it serves a member's twenty calls among eighty of another user's"
    wait "${callers[@]}"
    is "$(sort -u "$work"/among?)" "reset 20" "and resets those"
    is "$(processes)" "$before" "$name has the processes that it had"
    is "$(owner calls "$request" 1 one)" "welcome 1" "and serves its owner"
    stop "$server"
    until_true eval '! lonet addr α:80'
}
http=$'GET /index.html HTTP/1.0\r\n\r\n'

mkdir "$work/files" "$work/java" "$work/nginx" "$work/redis"
echo welcome >"$work/files/index.html"

tried http.server "$http" "$python" -m http.server --directory "$work/files" 80

cat >"$work/streams.py" <<'END'
import asyncio
async def serve(reader, writer):
    await reader.readline()
    writer.write(b"welcome")
    await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_server(serve, "", 80) as server:
        await server.serve_forever()
asyncio.run(main())
END
tried asyncio "$http" "$python" "$work/streams.py"

cat >"$work/server.js" <<'END'
require('http').createServer((request, response) => response.end('welcome')).listen(80);
END
tried node "$http" node "$work/server.js"

cat >"$work/java/Sockets.java" <<'END'
import java.io.*;
import java.net.*;

public class Sockets {
    public static void main(String[] args) throws IOException {
        ServerSocket listener = new ServerSocket(80);
        while (true)
            try (Socket s = listener.accept()) {
                serve(s);
            }
    }

    static void serve(Socket s) {
        try {
            new BufferedReader(new InputStreamReader(s.getInputStream())).readLine();
            s.getOutputStream().write("welcome".getBytes());
        } catch (IOException e) {
            System.out.println("a caller has gone: " + e);
        }
    }
}
END
cat >"$work/java/Channels.java" <<'END'
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.*;

public class Channels {
    public static void main(String[] args) throws IOException {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(80)).configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                SocketChannel channel = key.isAcceptable() ? listener.accept() : (SocketChannel) key.channel();
                if (key.isReadable())
                    serve(channel);
                else if (channel != null)
                    channel.configureBlocking(false).register(selector, SelectionKey.OP_READ);
            }
            selector.selectedKeys().clear();
        }
    }

    static void serve(SocketChannel channel) throws IOException {
        try {
            channel.read(ByteBuffer.allocate(4096));
            channel.write(ByteBuffer.wrap("welcome".getBytes()));
        } catch (IOException e) {
            System.out.println("a caller has gone: " + e);
        }
        channel.close();
    }
}
END
javac -encoding UTF-8 -d "$work/java" "$work"/java/*.java
for class in Sockets Channels; do
    tried "java-$class" "$http" java -XX:TieredStopAtLevel=1 -cp "$work/java" "$class"
done

cat >"$work/nginx.conf" <<CONF
daemon off;
worker_processes 2;
pid $work/nginx/pid;
events { worker_connections 256; }
http {
    access_log $work/nginx/access.log;
    client_body_temp_path $work/nginx/temporary; proxy_temp_path $work/nginx/temporary;
    fastcgi_temp_path $work/nginx/temporary; uwsgi_temp_path $work/nginx/temporary; scgi_temp_path $work/nginx/temporary;
    server {
        listen 80;
        location / { return 200 "welcome"; }
    }
}
CONF
tried nginx "$http" nginx -e "$work/nginx/error.log" -c "$work/nginx.conf"

tried redis $'ECHO welcome\r\n' redis-server --port 80 --bind 0.0.0.0 --protected-mode no --save '' --dir "$work/redis"

# Where a static busybox is installed in the place of the other, its accept is the supervisor's, who goes on when it is stopped.
hooked_busybox() { [[ "$(lonet check busybox)" == *"can be hooked"* ]] || { echo "skipped: busybox is static here" && return 1; }; }
! hooked_busybox || tried busybox-httpd "$http" busybox httpd -f -p 80 -h "$work/files"

# What takes each error of accept for its end: Linux has none for a caller that has reset its connection, ECONNABORTED is
# lonet's. It is reset all the same, and ends those servers if they have not waited for it (COMPATIBILITY.md).
# ends NAME REQUEST COMMAND…
ends() {
    serving "$1" "${@:3}"
    is "$(outsider calls "$2" 20 one)" "reset 20" "$1 resets twenty that it has waited for"
    is "$(member calls "$2" 1 one)" "welcome 1" "and serves a member then"
    one_behind_a_member "$2"
    is "$(<"$work/served") $(<"$work/behind")" "welcome 1 reset 1" "it resets who is behind a member"
    until_true ended "$server"
    like "$(tail -n 1 "$work/$1.log")" "Software caused connection abort" "and ends, as it has not waited"
    until_true eval '! lonet addr α:80'
}
! hooked_busybox || ends busybox-nc "$http" busybox nc -ll -p 80 -e echo welcome
cat >"$work/loop.py" <<'END'
import socket
s = socket.create_server(("", 80))
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b"welcome")
    c.close()
END
ends python-loop "$http" "$python" "$work/loop.py"
