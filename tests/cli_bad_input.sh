#!/bin/bash
# What cannot be is refused in one sentence that names it, says what is wrong, and what would be right.
. "$(dirname "$0")/scenario.bash"

# refuses CODE TEXT COMMAND…
refuses() {
    local text=$2
    code "$1" "${@:3}"
    is "$err" "lonet: $text" "${*:3}"
    is "$out" "" "nothing was done"
}
long=$(printf 'h%.0s' {1..64})
refuses 125 'network "a/b" is not one path component: give it a short plain name such as "mynet"' lonet run -n a/b -H α -- echo ran
refuses 1 'network ".." is not one path component: give it a short plain name such as "mynet"' lonet ls -n ..
refuses 1 "network \"${long}h\" is longer than 64 bytes: give it a short plain name such as \"mynet\"" lonet ls -n "${long}h"
refuses 125 'host name "α.β" contains a dot, and a host name cannot' \
    lonet run -H α.β -- echo ran
refuses 125 'host name "a b" contains whitespace, and a host name cannot' \
    lonet run -H 'a b' -- echo ran
refuses 125 'host name "" is empty' lonet run -H '' -- echo ran
refuses 125 "host name \"$long\" is 64 bytes long in UTF-8, and a host name has at most 63" lonet run -H "$long" -- echo ran
refuses 1 'address "α:65536": port is not a number from 0 to 65535' lonet addr α:65536
refuses 1 'address "α:0": nothing can listen on port 0; name a port from 1 to 65535' lonet wait α:0
refuses 1 'address "α": no port, expected host:port' lonet wait --timeout 0 α
refuses 1 'address "a:b:1": too many colons, expected host:port, or [host]:port for a host with colons' lonet addr a:b:1
refuses 1 'address "": no port, expected host:port' lonet addr ''
for url in http://α.lonet/ http://α:80; do
    for command in addr wait forward "explain α"; do
        refuses 1 "address \"$url\": it is a URL, expected host:port, such as web:80" lonet $command "$url"
    done
done
refuses 1 'the network'\''s directory "lonet/x" is not an absolute path (see LONET_DIR, TMPDIR)' \
    env TMPDIR= LONET_DIR=lonet/x lonet ls -n x
refuses 125 'LONET_LOOPBACK="maybe" is neither "host" nor "real"' env LONET_LOOPBACK=maybe lonet run -H α -- echo ran
refuses 125 'LONET_KEY is not a key that `lonet run` made' env LONET_KEY=1 lonet run -H α -- echo ran

# What the command line itself has wrong.
refuses 2 '--timeout "soon": it is not a time, such as 10s, 500ms or 2m, nor a number of seconds' lonet wait --timeout soon α:1
refuses 2 '--timeout "-1": it is not a time, such as 10s, 500ms or 2m, nor a number of seconds' lonet wait --timeout -1 α:1
refuses 2 '--ready "http": it is not a number from 1 to 65535' lonet run -H α --ready http -- echo ran
refuses 2 '--autobind-from "0": it is not a number from 1 to 65535' lonet run --autobind-from 0 -- echo ran
refuses 2 'LOCALPORT "65536": it is not a number from 0 to 65535' lonet forward α:80 65536
refuses 2 '--loopback "maybe" is unknown: it is host or real' lonet run --loopback maybe -- echo ran
refuses 2 'options come after the command: `lonet ls -n x`' lonet -n x ls
refuses 2 '`lonet wait` needs ADDR; see `lonet help wait`' lonet wait
refuses 2 '"no-such-command" is no command; `lonet help` lists them' lonet no-such-command
refuses 2 '`lonet ls` has no option "--jsn": did you mean --json?; see `lonet help ls`' lonet ls --jsn
[ ! -e "$TMPDIR/lonet" ] || fail "something was started"
