#!/bin/bash
# socat, ncat and nc, each as a server for one connection on port 7000 and each as a client of all three: one sends a
# lot and the other little, they close their halves, and have what was sent. Then the same by way of a relay that forks.
. "$(dirname "$0")/../scenario.bash"
need nc ncat socat

seq 1 20000 >"$work/words"
seq 20001 20100 >"$work/answer"
declare -A server=([socat]='socat -t 60 STDIO TCP-LISTEN:7000' [ncat]='ncat -l 7000' [nc]='nc -N -l 7000')
declare -A client=([socat]='socat -t 60 STDIO TCP:%s:%s' [ncat]='ncat %s %s' [nc]='nc -N %s %s')
# conversation CLIENT SERVER NAME PORT: the client reaches the server as NAME:PORT.
conversation() {
    local from to
    # The commands have no blanks inside words.
    # shellcheck disable=SC2206
    to=(${server[$2]})
    # shellcheck disable=SC2059,SC2207
    from=($(printf "${client[$1]}" "$3" "$4"))
    start serving lonet run -H "$2" -- bash -c '"${@:3}" <"$1" >"$2"' - "$work/answer" "$work/got" "${to[@]}"
    lonet wait --timeout 60 "$2:7000"
    is "$(lonet run -H client -- timeout 60 "${from[@]}" <"$work/words" | md5sum)" "$(md5sum <"$work/answer")" "$1 of $2"
    wait "$pid"
    is "$(md5sum <"$work/got")" "$(md5sum <"$work/words")" "$2 of $1"
}
for name in socat ncat nc; do
    for peer in socat ncat nc; do
        conversation "$peer" "$name" "$name.lonet" 7000
    done
done

start relay lonet run -H relay -- socat -t 60 TCP-LISTEN:80,fork,reuseaddr TCP:nc.lonet:7000
lonet wait --timeout 60 relay:80
for peer in socat ncat nc; do
    conversation "$peer" nc relay.lonet 80
done
code 1 lonet run -H client -- nc -z relay.lonet 81
