#!/bin/bash
# A FIFO, a directory or a link in the place of any file of a network's: lonetd and programs wait for nothing and follow
# nothing. It is replaced, or the network does not begin and says why.
. "$(dirname "$0")/scenario.bash"

net=$TMPDIR/lonet/$LONET_NETWORK
welcome
cat >"$work/both.py" <<'END'
import socket
s = socket.create_server(("", 80))
c = socket.create_connection(("α.lonet", 80))
print(s.accept()[1] == c.getsockname())
END
run() { timeout 60 lonet run --host α -- python3 "$work/both.py"; }
down() {
    code 0 lonet down
    rm -rf "${net:?}"
}
for file in key table lock log control registry.db; do
    for kind in fifo link; do
        { [ -d "$TMPDIR/lonet" ] || mkdir -m 1777 "$TMPDIR/lonet"; } && mkdir -m 700 "$net"
        : >"$work/victim"
        case $kind in
            fifo) mkfifo "$net/$file" ;;
            link) ln -s "$work/victim" "$net/$file" ;;
        esac
        case $file in
            lock | log | registry.db)
                code 125 run
                like "$err" "(cannot open the|registry.db is no) .*regular" "$file is a $kind: $err"
                ;;
            *)
                code 0 run
                is "$out" True "$file is a $kind: the network works"
                ;;
        esac
        is "$(wc -c <"$work/victim")" 0 "and nothing was written through it"
        down
    done
done

# While it runs: a program that joins looks for the key and the table.
for file in key table; do
    start server lonet run --host β -- python3 "$work/server.py"
    lonet wait --timeout 120 β:1
    rm "$net/$file"
    mkfifo "$net/$file"
    is "$(timeout 60 lonet run --host α -- python3 "$work/dial.py" β.lonet)" welcome "$file becomes a FIFO: programs dial"
    stop "$pid"
    until_true lonet down
    is "$(ls -A "$TMPDIR/lonet")" "" "nothing is left"
done
code 0 run
is "$out" True "with files of its own a network works"
