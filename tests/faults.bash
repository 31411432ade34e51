# shellcheck shell=bash disable=SC2034,SC2154 # variables for, and of, who sources it
# What the scenarios of faults share: . "$tests/faults.bash", behind scenario.bash.
#
#     node HOST       starts a host that does what `tell` says; ends with the scenario
#                     (who defines as_host and name_of anew has hosts of another kind)
#     tell HOST LINE  has it do something; its answer is in $answer:
#         listen PORT             dial NAME HOST PORT: begins to connect; "0" or the error's name
#         accept NAME             waits for who calls and calls it NAME
#         send NAME TEXT          "sent", or the error's name
#         lost NAME               waits until the kernel has sent again what has not been acknowledged
#         wait NAME               waits until it is readable, and says what comes: "end", or the error's name
#         now NAME                the same, "nothing" if nothing has come
#         made NAME               waits for the outcome of a dial: "0" or the error's name
#         waits NAME              waits until it has sent its SYN again; "waits"
#         close NAME              option NAME LEVEL OPTION VALUE: sets it
#         rtt NAME                microseconds of a round trip, as the kernel has measured them
#         get NAME LEVEL OPTION   fork: a child holds all that it holds   fill NAME: sends until there is no room
#     rules           what `lonet faults` says, without what the rules have met
declare -A node_in=() node_pid=()
nodes=0
node() {
    local host=$1
    nodes=$((nodes + 1))
    [ -e "$work/node.py" ] || write_node
    commanded $((20 + nodes)) "node-$host" as_host "$host" python3 "$work/node.py"
    node_in[$host]=$((20 + nodes)) node_pid[$host]=$pid
    until_true grep -qx ready "$work/node-$host"
}
rules() { lonet faults | sed 's/  #.*//'; }
as_host() { exec lonet run --host "$1" -- "${@:2}"; }
name_of() { echo "$1.lonet"; }
tell() {
    local host=$1 before
    shift
    before=$(wc -l <"$work/node-$host")
    echo "$*" >&"${node_in[$host]}"
    until_true eval '[ "$(wc -l <"$work/node-$host")" -gt '"$before"' ]'
    answer=$(tail -n 1 "$work/node-$host")
}
# connect FROM TO: FROM, which calls it "c", is connected to port 80 of TO, which calls it "c", too.
connect() {
    tell "$1" dial c "$(name_of "$2")" 80
    tell "$2" accept c
    tell "$1" made c
    is "$answer" 0 "$1 is connected to $2"
}
write_node() {
    cat >"$work/node.py" <<'END'
import errno, os, select, signal, socket, struct, sys
have, listener = {}, None
at = sys.argv[1] if len(sys.argv) > 1 else ""

def name(e):
    return errno.errorcode.get(e.errno, str(e)) if isinstance(e, OSError) else str(e)

def info(s, offset):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)[offset]

def until(s, events):
    p = select.poll()
    p.register(s, events)
    p.poll()

def take(s):
    data = s.recv(1 << 20, socket.MSG_DONTWAIT)
    return data.decode() if data else "end"

def retransmitted(s):
    # tcpi_retransmits: how often what is first in line has been sent again.
    while info(s, 2) == 0:
        select.poll().poll(5)

def do(line):
    global listener
    word, *rest = line.split(" ")
    s = have.get(rest[0]) if rest else None
    if word == "listen":
        listener = socket.create_server((at, int(rest[0])))
        return "ready"
    if word == "dial":
        s = have[rest[0]] = socket.socket()
        s.setblocking(False)
        if at:
            s.bind((at, 0))
        return errno.errorcode.get(s.connect_ex((socket.gethostbyname(rest[1]), int(rest[2]))), "0")
    if word == "accept":
        have[rest[0]] = listener.accept()[0]
        return "accepted"
    if word == "send":
        s.send(rest[1].encode())
        return "sent"
    if word == "fill":
        s.setblocking(False)
        try:
            while True:
                s.send(bytes(1 << 16))
        except BlockingIOError:
            return "full"
    if word == "lost":
        retransmitted(s)
        return "lost"
    if word == "wait":
        until(s, select.POLLIN)
        return take(s)
    if word == "now":
        try:
            return take(s)
        except BlockingIOError:
            return "nothing"
    if word == "made":
        until(s, select.POLLOUT)
        e = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.errorcode[e] if e else "0"
    if word == "waits":
        retransmitted(s)
        return "waits"
    if word == "close":
        have.pop(rest[0]).close()
        return "closed"
    if word == "option":
        s.setsockopt(*map(int, rest[1:]))
        return "set"
    if word == "rtt":
        return str(struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 68)[0])
    if word == "get":
        return str(s.getsockopt(*map(int, rest[1:])))
    if word == "fork":
        child = os.fork()
        if child == 0:
            signal.pause()
        return str(child)
    return "what?"

print("ready", flush=True)
for line in sys.stdin:
    try:
        print(do(line.strip()), flush=True)
    except OSError as e:
        print(name(e), flush=True)
END
}
