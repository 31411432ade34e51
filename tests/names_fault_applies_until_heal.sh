#!/bin/bash
# `lonet names α fail|slow|unknown [β]`: what becomes of α's questions for names, also of those that its process has asked before
# and of a resolver of its own; others are answered as ever.
. "$(dirname "$0")/scenario.bash"

# Says for each line of its input what getaddrinfo has for that name, without IPv6, or the error.
cat >"$work/ask.py" <<'END'
import socket, sys
print("ready", flush=True)
for line in sys.stdin:
    name = line.strip()
    try:
        if name.startswith(("dns ", "tcp ")):
            # As a resolver of the program's own asks, at the machine's name server.
            is_tcp = name.startswith("tcp ")
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
            s.settimeout(60)
            s.connect((sys.argv[1], 53))
            labels = b"".join(bytes([len(l)]) + l for l in name[4:].encode().split(b"."))
            query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
            s.send(bytes([0, len(query)]) * is_tcp + query)
            answer = s.recv(4096)[2 * is_tcp:]
            print("code", answer[3] & 15, flush=True)
        else:
            print(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0].split(".")[3], flush=True)
    except socket.gaierror as e:
        print({socket.EAI_AGAIN: "EAI_AGAIN", socket.EAI_NONAME: "EAI_NONAME"}.get(e.errno, e.errno), flush=True)
END
server=$(sed -n 's/^nameserver \([0-9.]*\)$/\1/p' /etc/resolv.conf | head -1)
server=${server:-127.0.0.1}
ask() { # HOST NAME: what it is told, in $answer
    local before
    before=$(wc -l <"$work/ask-$1")
    echo "${*:2}" >&"${input[$1]}"
    until_true eval '[ "$(wc -l <"$work/ask-'"$1"'")" -gt '"$before"' ]'
    answer=$(tail -n 1 "$work/ask-$1")
}
told() { # HOST NAME WANT WHAT
    ask "$1" "$2"
    is "$answer" "$3" "$4"
}
declare -A input=([α]=21 [β]=22)
for host in α β; do
    commanded "${input[$host]}" "ask-$host" lonet run --host $host -- python3 "$work/ask.py" "$server"
    until_true grep -q ready "$work/ask-$host"
    told $host $host.lonet "$((input[$host] - 20))" "$host has an address, and is up"
done
told α β.lonet 2 "α asks for β"
code 0 lonet names α fail
is "$(lonet faults)" "lonet names α fail" "faults shows it"
told α β.lonet EAI_AGAIN "what was asked before fails"
told α γ.lonet EAI_AGAIN "and what was not"
told α α.lonet 1 "α knows its own name"
told α localhost 1 "and names that are not lonet's are found"
told β α.lonet 1 "others are answered"
is "$(lonet faults)" "lonet names α fail  # 2 lookups affected" "how often it was met"
told α "dns β.lonet" "code 2" "SERVFAIL to a resolver of its own"
told α "tcp β.lonet" "code 2" "over TCP, too"
kill_lonetd
told α β.lonet EAI_AGAIN "the next lonetd knows it"
code 0 lonet names α unknown
is "$(lonet faults)" "lonet names α unknown" "another one takes its place"
told α β.lonet EAI_NONAME "there is no such name"
told α "dns β.lonet" "code 3" "NXDOMAIN"
told α "tcp β.lonet" "code 3" "over TCP, too"
code 0 lonet heal α --expect-hit
told α β.lonet 2 "after heal all is well"
told α "dns β.lonet" "code 0" "also for a resolver of its own"
told α "tcp β.lonet" "code 0" "and over TCP"

told α γ.lonet 3 "a name that no host has gets an address"
code 0 lonet names α unknown γ
is "$err" "" "a host that was only mentioned may be named"
told α β.lonet 2 "others' names are found"
told α γ.lonet EAI_NONAME "this one is not"
code 0 lonet heal α γ

code 0 lonet names α unknown β --at 2
is "$(lonet faults)" "lonet names α unknown β --at 2" "faults shows which question it waits for"
told α β.lonet 2 "the first question is answered"
told α β.lonet EAI_NONAME "the second is not"
code 0 lonet heal

# Late: the answer comes after the one to a question that was asked behind it.
code 0 lonet names α slow
echo β.lonet >&"${input[α]}"
echo "dns β.lonet" >&"${input[α]}"
echo "tcp β.lonet" >&"${input[α]}"
met() { lonet faults | grep -q 'lookups* affected'; }
until_true met
told β α.lonet 1 "others need not wait"
until_true eval '[ "$(tail -n 3 "$work/ask-α" | tr "\n" " ")" = "2 code 0 code 0 " ]'
is "$(lonet faults)" "lonet names α slow  # 3 lookups affected" "late answers are right"
code 0 lonet heal --expect-hit
code 0 lonet names β slow --for 1h
code 1 lonet heal --expect-hit
like "$err" "^lonet: nothing was affected by: lonet names β slow --for 3[56][0-9][0-9]\.[0-9]s$" "nobody has asked"
code 2 lonet names α wrong
code 1 lonet names 'α>β' fail
