# shellcheck shell=bash disable=SC2034 # variables for who sources it
# What the scenarios share: . "$(dirname "$0")/scenario.bash"
#
# A scenario is a bash script that shows one behaviour, and is named after it. It runs in a network of its own
# ($LONET_NETWORK, in a directory of its own), waits with `lonet wait` and never for a time, and ends what it
# started. `scripts/test` runs all; alone, one runs as `tests/NAME.sh`, with the release build.
#
#     start LOG PROGRAM [ARG…]     runs it in the background, output to $work/LOG; its pid is in $pid
#     is GOT WANT WHAT             the check: ends the scenario, with the difference, if GOT is not WANT
#     like GOT PATTERN WHAT        the same with an extended regular expression
#     code WANT COMMAND…           runs it: the exit code must be WANT; leaves its output in $out and $err
#     need PROGRAM…                installs what is missing, or says so and ends (scripts/lib.sh); on a line of its own,
#                                  where scripts/test reads it
#     welcome                      makes two programs: $work/server.py [PORT], which says where it listens and "welcome" to
#                                  each caller; $work/dial.py HOST [PORT], which says what it is told. PORT: 1 if not given
#     as_another_user              ends the scenario, and says so, where no program can be another user: without root
#     commanded N LOG COMMAND…     as start; what is written to descriptor N it has as input. Where N was one before it is another
#     hear_when_told               makes $work/next.py, a server on port 80: for each line of its input it says what the next
#                                  caller says; whom accept turns away is none
#     lonetd                       says the pid of who serves the network; fails if nobody does
#     start_self_dialer            starts host α, which listens on port 80 and has a connection to itself; its pid is in $pid,
#                                  lonetd's in $daemon
#     dialer N [COMMAND…]          starts a program of host β's, by COMMAND, which dials α:80 once, says "ready", and dials
#                                  again when a line is written to descriptor N: then it says its port, in $work/outN, and
#                                  keeps the connection until there is another line; its pid is in ${dialers[N]}
#     serve_commanded COMMAND…     starts a server on port 80 of host α, which prints "ready" and takes its commands from descriptor
#                                  7; its pid is in $server, its output in $work/server, where it listens (IP:PORT) in $os
#     accepts WHOM WHAT            has it accept once: checks the line that it prints
#     server_ends                  closes its input, and waits for its end; fails if it does
#     server_printed N             whether it has printed so many lines
#     ssh_files                    makes keys, $work/sshd_config for port 22, and $work/ssh_config
#     stop_lonetd                  stops it, $daemon, as it sleeps
#     abstract_name PID            prints the abstract name of this lonetd's control socket
#     waits                        somebody waits for lonetd to take a connection
#     kill_lonetd                  kills it, and waits until it is dead; its pid is in $daemon
#     descendants PID              the pids of its children, of theirs, and so on
#     readme_block KIND START      the README's first block of code of this KIND from the line START on
#     until_true COMMAND…          tries it until it succeeds, for what lonet has no event for; four minutes at most
#
# One that has more to end than the children of its shell that it has started defines `end_the_rest`. Whatever ends a scenario, a line of its
# output that begins with FAILED says why.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
if ! [[ ":$PATH:" == *":$tests/../bin:"* ]] && [ ! -x "$tests/../bin/lonet" ]; then
    PATH=$tests/../target/release:$PATH
    LONET_C_TESTS=${LONET_C_TESTS:-$tests/../target/c-tests}
fi
. "$tests/../scripts/lib.sh"
for variable in "${!LONET_@}"; do
    case $variable in LONET_NETWORK | LONET_FULL | LONET_C_TESTS) ;; *) unset "$variable" ;; esac
done
unset LD_PRELOAD
export LANG=C.UTF-8
export LONET_NETWORK=${LONET_NETWORK:-t$$}
library=$(realpath "$(dirname "$(command -v lonet)")/liblonet.so")
work=$(mktemp -d "${TMPDIR:-/tmp}/w.XXXXXX")
export TMPDIR=$work
started=() failed=''

readme_block() {
    awk -v opening="\`\`\`$1" -v start="$2" '
        inside && /^```$/ { exit }
        inside { print }
        $0 == start { seen = 1 }
        seen && $0 == opening { inside = 1 }' "$tests/../README.md"
}

start() {
    local log=$work/$1
    shift
    # Who waits for a word in it does not find that of a program before.
    rm -f "$log"
    "$@" </dev/null >"$log" 2>&1 &
    pid=$!
    started+=("$pid")
}

fail() {
    failed=1
    echo "FAILED: $*"
    exit 1
}

is() {
    if [ "$1" != "$2" ]; then
        failed=1
        echo "FAILED: $3 (line ${BASH_LINENO[0]}); wanted <, got >:"
        diff <(printf '%s\n' "$2") <(printf '%s\n' "$1") || true
        exit 1
    fi
    echo "ok: $3"
}

like() {
    [[ $1 =~ $2 ]] || fail "$3 (line ${BASH_LINENO[0]}): \"$1\" is not like \"$2\""
    echo "ok: $3"
}

code() {
    local want=$1 got=0
    shift
    "$@" </dev/null >"$work/out" 2>"$work/err" || got=$?
    out=$(<"$work/out") err=$(<"$work/err")
    [ "$got" = "$want" ] || fail "exit code of \`$*\` is $got, not $want: $out $err"
}

welcome() {
    cat >"$work/server.py" <<'END'
import os, socket, sys
s = socket.create_server(("", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
print(os.getuid(), s.getsockname()[1], flush=True)
while True:
    s.accept()[0].sendall(b"welcome")
END
    cat >"$work/dial.py" <<'END'
import socket, sys
port = int(sys.argv[2]) if len(sys.argv) > 2 else 1
print(socket.create_connection((sys.argv[1], port)).recv(7, socket.MSG_WAITALL).decode())
END
}

as_another_user() {
    if [ "$(id -u)" != 0 ]; then
        echo "skipped: only root may become another user"
        exit 0
    fi
}

commanded() {
    local n=$1 log=$work/$2 commands=$work/commands$1
    shift 2
    rm -f "$commands" "$log"
    mkfifo "$commands"
    "$@" <"$commands" >"$log" 2>&1 &
    pid=$!
    started+=("$pid")
    eval "exec $n>\"\$commands\""
}

hear_when_told() {
    cat >"$work/next.py" <<'END'
import socket, sys
s = socket.create_server(("", 80))
print("ready", flush=True)
for line in sys.stdin:
    while True:
        try:
            c, peer = s.accept()
            break
        except ConnectionAbortedError:
            pass
    print(c.recv(100).decode(), flush=True)
END
}

serve_commanded() {
    commanded 7 server lonet run --host α -- "$@"
    server=$pid
    until_true grep -q ready "$work/server"
    os=$(lonet addr α:80)
}
server_printed() { [ "$(wc -l <"$work/server")" -ge "$1" ]; }
accepts() {
    local before
    before=$(wc -l <"$work/server")
    echo accept >&7
    until_true server_printed $((before + 1))
    is "$(tail -n 1 "$work/server")" "$1" "$2"
}
server_ends() {
    exec 7>&-
    wait "$server" || fail "the server has failed: $(<"$work/server")"
}

ssh_files() {
    ssh-keygen -q -t ed25519 -N '' -f "$work/host"
    ssh-keygen -q -t ed25519 -N '' -f "$work/me"
    cat >"$work/sshd_config" <<CONF
Port 22
HostKey $work/host
AuthorizedKeysFile $work/me.pub
PidFile $work/sshd.pid
StrictModes no
UsePAM yes
CONF
    cat >"$work/ssh_config" <<CONF
Host *
    IdentityFile $work/me
    UserKnownHostsFile $work/known
    StrictHostKeyChecking accept-new
    LogLevel ERROR
    BatchMode yes
CONF
    # sshd's own directory for privilege separation, which its package makes where the system starts it.
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
}

until_true() {
    local until=$((SECONDS + 240)) awaited="$*"
    while [ $SECONDS -lt $until ]; do
        # In a shell of its own: a signal that comes now must be told on this one's output. What it says is a log, too.
        if ("$@") >"$work/awaited" 2>&1; then return 0; fi
        sleep 0.02
    done
    fail "\`$*\` does not come true"
}

lonetd() { pgrep -f "^lonetd daemon --network $LONET_NETWORK "; }
abstract_name() { ss -xlpH | grep -F "pid=$1," | grep -oE 'lonet-[0-9a-f]{16}'; }
start_self_dialer() {
    cat >"$work/self.py" <<'END'
import signal, socket
s = socket.create_server(("", 80))
c = socket.create_connection(("α.lonet", 80))
a = s.accept()
signal.pause()
END
    start self lonet run --host α -- python3 "$work/self.py"
    lonet wait --timeout 120 α:80
    daemon=$(lonetd)
}
dialer() {
    local n=$1
    shift
    cat >"$work/dialer.py" <<'END'
import socket, sys
to = (socket.gethostbyname("α.lonet"), 80)
socket.create_connection(to).close()
print("ready", flush=True)
sys.stdin.readline()
held = socket.create_connection(to)
print(held.getsockname()[1], flush=True)
sys.stdin.readline()
END
    commanded "$n" "out$n" "$@" lonet run --host β -- python3 "$work/dialer.py"
    dialers[n]=$pid
    until_true grep -q ready "$work/out$n"
}
stop_lonetd() {
    until_true eval 'ps -o stat= -p "$daemon" | grep -q "^S"'
    kill -STOP "$daemon"
}
waits() { ss -xlpH | awk -v pid="pid=$(lonetd)," 'index($0, pid) && $3 > 0 { n = 1 } END { exit !n }'; }
kill_lonetd() {
    daemon=$(lonetd)
    kill -KILL "$daemon"
    until_true ended "$daemon"
}

descendants() {
    local child
    for child in $(pgrep -P "$1"); do
        echo "$child"
        descendants "$child"
    done
}

# ended PID: the process has ended (a zombie has).
ended() {
    local stat=
    { IFS= read -rd '' stat <"/proc/$1/stat" || true; } 2>/dev/null
    # The state is behind the name of the program, which may have parentheses, too.
    stat=${stat##*) }
    [[ ${stat:0:1} == [ZX] || ! $stat ]]
}

# runs PID: a child of the scenario's shell has it, and has not ended. The pid of a child that bash has reaped may be
# another program's.
runs() {
    local stat=
    { IFS= read -rd '' stat <"/proc/$1/stat" || true; } 2>/dev/null
    [[ ${stat##*) } == [!ZX]" $$ "* ]]
}

# stop PID…: SIGTERM to those that run, once more each second until they have ended: a program that looks at its flag just
# before it sleeps misses one (ssh does).
stop() {
    local one sent=$SECONDS until=$((SECONDS + 60)) stuck=0
    for one in "$@"; do
        ! runs "$one" || kill "$one" 2>/dev/null || true
    done
    for one in "$@"; do
        while runs "$one"; do
            if [ $SECONDS -ge $until ]; then
                echo "FAILED: a program does not end after SIGTERM: $(ps -o pid=,stat=,wchan=,args= -p "$one")"
                stuck=1
                kill -KILL "$one" || break
            elif [ $SECONDS -gt $sent ]; then
                sent=$SECONDS
                kill "$one" 2>/dev/null || true
            fi
            sleep 0.02
        done
    done
    wait "$@" 2>/dev/null || true
    return $stuck
}

# clean_up CODE COMMAND: ends what was started, and then all networks of the scenario: a program that is left in one is
# a failure.
clean_up() {
    local result=$1 dir network
    [ "$result" = 0 ] || [ "$failed" ] || echo "FAILED: exit code $result of \`$2\`"
    ! declare -F end_the_rest >/dev/null || end_the_rest
    stop ${started[@]+"${started[@]}"} || result=1
    for dir in "$work"/lonet/*/; do
        [ -d "$dir" ] || continue
        network=$(basename "$dir")
        until_down "$network" && continue
        result=1
        # lonetd itself, if it does not see that its network is empty: told from others by its directory.
        lonet down -n "$network" --kill ||
            kill "$(pgrep -f "^lonetd daemon --network $network --dir ${dir%/} ")" || true
    done
    if [ "$result" = 0 ] && [ -d "$work/lonet" ] && [ -n "$(ls -A "$work/lonet")" ]; then
        echo "FAILED: left behind: $(cd "$work/lonet" && find . -mindepth 1 | tr '\n' ' ')"
        result=1
    fi
    if [ "$result" != 0 ]; then
        for log in "$work"/*; do
            [ ! -f "$log" ] || { echo "--- ${log##*/}" && tail -n 50 "$log"; }
        done
    fi
    # Networks in other directories below, that nobody is in any more: a lonetd would make its directory again.
    # shellcheck disable=SC2046
    kill -KILL $(pgrep -f "^lonetd daemon .* --dir $work/") 2>/dev/null || true
    rm -rf "$work"
    exit "$result"
}
trap 'clean_up $? "$BASH_COMMAND"' EXIT
trap 'signalled "$BASH_COMMAND"' INT TERM
signalled() {
    failed=1
    echo "FAILED: ended by a signal in \`$1\`${awaited:+, before \`$awaited\` came true}"
    exit 143
}

# What has been killed takes a moment to die.
until_down() {
    local until=$((SECONDS + 120))
    while [ $SECONDS -lt $until ]; do
        if lonet down -n "$1" 2>"$work/down"; then return 0; fi
        sleep 0.02
    done
    echo "FAILED: $(<"$work/down")"
    return 1
}
