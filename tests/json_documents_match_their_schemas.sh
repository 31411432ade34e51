#!/bin/bash
# What the commands print with --json is what lonet-json(5) says, also where there is nothing to show.
. "$(dirname "$0")/scenario.bash"
need python3-jsonschema

cat >"$work/judge.py" <<'PY'
"""judge.py PAGE COMMAND FILE: whether the document in FILE is one of COMMAND's by the schema in the manual page."""
import json, re, sys
import jsonschema
page = open(sys.argv[1], encoding="utf-8").read()
schemas = dict(re.findall(r"^\.Ss lonet (\w+) --json\n.*?^\.Bd -literal\n(.*?)^\.Ed$", page, flags=re.M | re.S))
schema = json.loads(schemas[sys.argv[2]])
jsonschema.Draft202012Validator.check_schema(schema)

# A field that the page does not have is one that it lacks.
def close(part):
    if isinstance(part, dict):
        if "properties" in part:
            part["additionalProperties"] = False
        for inner in part.values():
            close(inner)
    elif isinstance(part, list):
        for inner in part:
            close(inner)

close(schema)
lines = open(sys.argv[3], encoding="utf-8").read().splitlines()
assert len(lines) == 1, f"{len(lines)} lines"
jsonschema.Draft202012Validator(schema).validate(json.loads(lines[0]))
PY
# judged WANT COMMAND [ARG…]: exit code WANT of `lonet COMMAND --json ARG…`, whose document is then in $out.
judged() {
    local want=$1 command=$2
    shift 2
    code "$want" lonet "$command" --json "$@"
    cp "$work/out" "$work/document"
    /usr/bin/python3 "$work/judge.py" "$tests/../man/lonet-json.5" "$command" "$work/document" ||
        fail "\`lonet $command --json $*\` prints $out"
    echo "ok: $command $*"
}
# shown FILTER: of the last document.
shown() { jq -c "$1" "$work/document"; }

judged 0 ls
is "$(shown '[.version, .network, .hosts]')" "[1,\"$LONET_NETWORK\",[]]" "a network that does not run"
judged 0 networks
is "$(shown .networks)" '[]' "no network"

cat >"$work/hold.py" <<'PY'
import signal, socket
held = [socket.create_server(("", 80)), socket.create_server(("127.0.0.1", 81))]
held.append(socket.create_server(("::", 82), family=socket.AF_INET6, dualstack_ipv6=True))
held.append(socket.create_connection(("web.lonet", 80)))
signal.pause()
PY
start web lonet run -H web -- python3 "$work/hold.py"
start cache lonet run -H cache -- sleep 1000
lonet wait --timeout 60 web:80 web:82
connected() { lonet ls --json | jq -e '(.hosts | length) == 2 and any(.hosts[].sockets[]; .state == "connected")'; }
until_true connected
judged 0 ls
is "$(shown '[.hosts[].sockets[] | select(.state == "listening") | [.port, .scope, .family]]')" \
    '[[80,"host","v4"],[81,"loopback","v4"],[82,"host","both"]]' "listeners"
judged 0 networks
is "$(shown .networks)" "[{\"name\":\"$LONET_NETWORK\",\"hosts\":2,\"processes\":2}]" "the network"

judged 0 addr web:80
os=$(shown .os | tr -d '"')
is "$(shown '[.host, .port]')" '["web",80]' "a lonet address"
judged 0 addr "$os"
is "$(shown '[.host, .port, .os]')" "[\"web\",80,\"$os\"]" "the way back"

judged 0 wait web:80
is "$(shown '[.listening, .missing]')" '[true,[]]' "all listen"
judged 1 wait --timeout 0.1 web:80 web:81 cache:6379
is "$(shown '[.listening, .missing]')" '[false,["web:81","cache:6379"]]' "some do not"
is "$(shown .text)" "$(jq -n --arg text "${err#lonet: }" '$text')" "for the reason that is told"

judged 0 check sleep
is "$(shown .verdict)" '"hooked"' "a program that can be hooked"
judged 127 check no-such-program
is "$(shown .verdict)" '"not found"' "one that is not there"
judged 126 check /etc/passwd
is "$(shown .verdict)" '"refused"' "one that cannot be executed"

judged 0 faults
is "$(shown .rules)" '[]' "no rules"
lonet cut --for 1000s web cache
lonet refuse --at 3 cache web:80
judged 0 faults
is "$(shown '[.rules[].fault]')" '["cut","cut","refuse"]' "rules, a direction each"
