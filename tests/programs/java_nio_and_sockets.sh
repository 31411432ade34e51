#!/bin/bash
# Java, dual-stack as it is by default: a server of channels with a selector and one of plain sockets, on two ports of
# one host, and a client of both kinds on another.
. "$(dirname "$0")/../scenario.bash"
need java javac

mkdir "$work/java"
cat >"$work/java/Server.java" <<'JAVA'
import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;

public class Server {
    public static void main(String[] args) throws Exception {
        ServerSocket plain = new ServerSocket(8081);
        Thread thread = new Thread(() -> {
            try {
                while (true)
                    try (Socket s = plain.accept()) {
                        String line = new BufferedReader(new InputStreamReader(s.getInputStream())).readLine();
                        s.getOutputStream().write((line + " " + s.getRemoteSocketAddress() + "\n").getBytes());
                    }
            } catch (IOException e) {
                e.printStackTrace();
            }
        });
        thread.setDaemon(true);
        thread.start();

        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(8080)).configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
        System.out.println(listener.getLocalAddress() + " " + plain.getLocalPort());
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        while (true) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    listener.accept().configureBlocking(false).register(selector, SelectionKey.OP_READ);
                } else {
                    SocketChannel channel = (SocketChannel) key.channel();
                    buffer.clear();
                    if (channel.read(buffer) < 0) {
                        channel.close();
                        continue;
                    }
                    buffer.flip();
                    channel.write(buffer);
                    channel.write(ByteBuffer.wrap((channel.getRemoteAddress() + "\n").getBytes()));
                }
            }
            selector.selectedKeys().clear();
        }
    }
}
JAVA
cat >"$work/java/Client.java" <<'JAVA'
import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;

public class Client {
    static String failure(String host, int port) throws Exception {
        try (Socket s = new Socket(host, port)) {
            return "connected";
        } catch (IOException e) {
            return e.getClass().getSimpleName();
        }
    }

    public static void main(String[] args) throws Exception {
        System.out.println(InetAddress.getLocalHost().getHostName());
        InetAddress server = InetAddress.getByName("α.lonet");
        SocketChannel channel = SocketChannel.open();
        channel.configureBlocking(false);
        Selector selector = Selector.open();
        if (!channel.connect(new InetSocketAddress(server, 8080))) {
            channel.register(selector, SelectionKey.OP_CONNECT);
            selector.select();
            channel.finishConnect();
            channel.keyFor(selector).cancel();
            selector.selectNow();
        }
        channel.configureBlocking(true);
        channel.write(ByteBuffer.wrap("channel ".getBytes()));
        BufferedReader reader = new BufferedReader(new InputStreamReader(channel.socket().getInputStream()));
        System.out.println(reader.readLine());
        System.out.println(channel.getLocalAddress() + " " + channel.getRemoteAddress());

        try (Socket s = new Socket("α.lonet", 8081)) {
            s.getOutputStream().write("plain\n".getBytes());
            System.out.println(new BufferedReader(new InputStreamReader(s.getInputStream())).readLine());
            System.out.println(s.getLocalPort() + " " + s.getRemoteSocketAddress());
        }
        System.out.println(failure("α.lonet", 9) + " " + failure("ω.lonet", 9) + " " + failure("localhost", 8080));

        SocketChannel refused = SocketChannel.open();
        refused.configureBlocking(false);
        try {
            if (!refused.connect(new InetSocketAddress(server, 9))) {
                refused.register(selector, SelectionKey.OP_CONNECT);
                selector.select();
                refused.finishConnect();
            }
        } catch (ConnectException e) {
            System.out.println(e.getMessage());
        }
    }
}
JAVA
javac -encoding UTF-8 -d "$work/java" "$work"/java/*.java
start server lonet run -H α -- java -XX:TieredStopAtLevel=1 -cp "$work/java" Server
lonet wait --timeout 60 α:8080 α:8081
server=$(lonet run -H β -- getent ahostsv4 α.lonet | awk 'NR == 1 { print $1 }')
client=${server%.*}.2
is "$(lonet run -H β -- java -XX:TieredStopAtLevel=1 -cp "$work/java" Client)" "\
β.lonet
channel /$client:1
/$client:1 α.lonet/$server:8080
plain /$client:2
2 α.lonet/$server:8081
ConnectException NoRouteToHostException ConnectException
Connection refused" "what the client saw"
is "$(<"$work/server")" "/[0:0:0:0:0:0:0:0]:8080 8081" "the server's own view"
