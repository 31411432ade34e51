#!/bin/bash
# `lonet run --ready` starts a program in the background and returns when it listens; when it ends first it fails, as the program
# did, and shows its last words. `lonet logs` has them all, also when the network has ended.
. "$(dirname "$0")/scenario.bash"

export XDG_STATE_HOME=$work/state
welcome
end_the_rest() { lonet down --kill 2>/dev/null || true; }
code 0 lonet run --ready 80 -H α -- python3 "$work/server.py" 80
like "$out" "^α is ready \(pid ([0-9]+)\); it writes to $XDG_STATE_HOME/lonet/$LONET_NETWORK/.*/α\.log$" "it says where it is"
server=${BASH_REMATCH[1]}
is "$(lonet ls --json α | jq -c '.hosts[0].sockets[] | [.port, .pid]')" "[80,$server]" "it listens"
is "$(ps -o sid= -p "$server" | tr -d ' ')" "$server" "in a session of its own"
is "$(lonet run -H β -- python3 "$work/dial.py" α.lonet 80)" welcome "it is a host"
is "$(lonet logs Α)" "$(id -u) 80" "what it has said"
code 125 lonet run --ready 80 -H α -- python3 "$work/server.py" 80
is "$err" "lonet: something already listens on α:80" "a port that is taken"

code 3 lonet run --ready 80,81 -H γ -- sh -c 'echo one; echo two >&2; exit 3'
is "$err" "lonet: the program ended before it was ready, with exit status: 3; the end of its output, from $(ls "$XDG_STATE_HOME/lonet/$LONET_NETWORK"/*/γ.log):
one
two" "one that ends first"
code 1 lonet run --ready 80 -H γ -- sh -c 'echo three'
like "$err" "^lonet: γ has ended: nothing listens on γ:80; .*"$'\n'"two"$'\n'"three$" "one that ends well, and leaves nothing"
code 127 lonet run --ready 80 -H γ -- no-such-program
code 125 lonet run --ready 80 -- true
is "$(tail -n 1 <<<"$err")" "lonet: --ready needs a host: name it with --host" "no host"

code 0 lonet run --ready 80 --log "$work/own" -H δ -- python3 "$work/server.py" 80
like "$out" "it writes to $work/own$" "a log of the user's choice"
until_true grep -q 80 "$work/own" # it says so after it has begun to listen
is "$(<"$work/own") $(lonet logs δ)" "$(id -u) 80 $(id -u) 80" "which lonet logs finds"

# A daemon: what was started ends, and has left one that listens.
code 0 lonet run --ready 82 -H α -- sh -c 'python3 "$0" 82 & exec true' "$work/server.py"
lonet wait --timeout 120 α:82
echo "ok: a daemon is waited for"

start follow lonet logs -f α
until_true grep -x "$(id -u) 82" "$work/follow"
code 0 lonet run --ready 83 -H α -- sh -c 'echo more; exec python3 "$0" 83' "$work/server.py"
until_true grep -x more "$work/follow"
echo "ok: -f follows"

lonet down --kill
is "$(lonet logs γ)" $'one\ntwo\nthree' "the log outlives the network"
code 1 lonet logs ε
is "$err" "lonet: there is no log of host \"ε\" in $XDG_STATE_HOME/lonet/$LONET_NETWORK: \`lonet run --ready\` makes one" "no log"
for n in {1..10}; do
    until_true [ ! -e "$TMPDIR/lonet/$LONET_NETWORK" ]
    lonet run --ready 80 -H α -- python3 "$work/server.py" 80 >"$work/up"
    lonet down --kill
done
is "$(ls "$XDG_STATE_HOME/lonet/$LONET_NETWORK" | wc -l)" 10 "ten runs are kept"
code 1 lonet logs γ

code 125 env -u XDG_STATE_HOME HOME="$work/none" lonet run --host η --ready 80 -- sleep 1000
is "$err" "lonet: there is no place for logs, as HOME, $work/none, does not exist: use --log FILE, or set XDG_STATE_HOME to a directory for them" \
    "a user without a home"
[ ! -e "$work/none" ] || fail "a home was made"
code 0 env -u XDG_STATE_HOME HOME="$work/none" lonet run --host η --ready 80 --log "$work/eta" -- python3 -m http.server 80
like "$out" "it writes to $work/eta\$" "--log needs no home"
[ ! -e "$work/none" ] || fail "a home was made"
code 0 lonet kill η
