#!/bin/bash
# A Go program, which is supervised, is a client of PostgreSQL and of Redis, which are hooked: by name, at their usual ports.
. "$(dirname "$0")/../scenario.bash"
need go initdb pg_ctl redis-server setpriv

# PostgreSQL does not run for root: then it drops root first.
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 711 "$work"
fi
mkdir "$work/src" "$work/servers"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$work/servers"

cd "$work/src"
cat >main.go <<'GO'
// Speaks the protocols of both itself: the standard library has no driver for either.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func dial(address string) (net.Conn, *bufio.Reader) {
	c, err := net.Dial("tcp", address)
	fail(err)
	return c, bufio.NewReader(c)
}

// What PostgreSQL sends until it is ready for a query: the columns of rows, and errors.
func answer(from *bufio.Reader) (said []string) {
	for {
		head := make([]byte, 5)
		_, err := io.ReadFull(from, head)
		fail(err)
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		_, err = io.ReadFull(from, body)
		fail(err)
		switch head[0] {
		case 'D':
			for at := 2; at < len(body); {
				n := int(binary.BigEndian.Uint32(body[at:]))
				said = append(said, string(body[at+4:at+4+n]))
				at += 4 + n
			}
		case 'E':
			said = append(said, fmt.Sprintf("%q", body))
			return
		case 'Z':
			return
		}
	}
}

func postgresql(address, query string) {
	c, from := dial(address)
	send := func(kind string, version []byte, text string) {
		body := append(version, text...)
		message := binary.BigEndian.AppendUint32([]byte(kind), uint32(len(body)+4))
		_, err := c.Write(append(message, body...))
		fail(err)
	}
	send("", []byte{0, 3, 0, 0}, "user\x00me\x00database\x00postgres\x00\x00")
	refused := answer(from)
	send("Q", nil, query+"\x00")
	fmt.Println(strings.Join(append(refused, answer(from)...), " "))
	send("X", nil, "")
	c.Close()
}

func redis(address string, commands ...string) {
	c, from := dial(address)
	for _, command := range commands {
		fmt.Fprintf(c, "%s\r\n", command)
		line, err := from.ReadString('\n')
		fail(err)
		if line[0] == '$' {
			line, err = from.ReadString('\n')
			fail(err)
		}
		fmt.Println(strings.TrimSpace(line))
	}
	c.Close()
}

func main() {
	if os.Args[1] == "redis" {
		redis(os.Args[2], os.Args[3:]...)
	} else {
		postgresql(os.Args[2], os.Args[3])
	}
}
GO
printf 'module client\n\ngo 1.19\n' >go.mod
HOME=$work GOCACHE=$work/src/cache GOFLAGS=-mod=mod CGO_ENABLED=0 GOTOOLCHAIN=local go build -o client .
client() { lonet run -H go -- "$work/src/client" "$@"; }

cd "$work/servers"
on_db() { lonet run -H db -- ${as[@]+"${as[@]}"} env HOME="$work/servers" "$@" </dev/null; }
end_the_rest() { on_db pg_ctl -D db -m immediate stop >/dev/null 2>&1 || true; }
on_db initdb -D db -U me -A trust --no-sync >initdb.log
on_db mkdir sockets
printf '%s\n' "unix_socket_directories = '$work/servers/sockets'" "listen_addresses = '*'" "fsync = off" >>db/postgresql.conf
echo 'host all all all trust' >>db/pg_hba.conf
on_db pg_ctl -D db -w -l db.log start >/dev/null
start cache lonet run -H cache -- redis-server --port 6379 --protected-mode no --save '' --dir "$work/src"
lonet wait --timeout 120 cache:6379

address=$(lonet run -H go -- getent ahostsv4 go.lonet | awk 'NR == 1 { print $1 }')
is "$(client postgresql db.lonet:5432 'select 6 * 7, host(inet_client_addr()), inet_server_port()')" \
    "42 $address 5432" "PostgreSQL answers, and sees the client's address"
is "$(client redis cache.lonet:6379 'SET key value' 'GET key')" $'+OK\nvalue' "Redis keeps a value"
like "$(client redis cache.lonet:6379 'CLIENT INFO')" " addr=$address:[0-9]+ " "and sees the client's address"
