#!/bin/bash
# `lonet ls` sorts hosts by name, shows those that are named if any is, and the processes of those without sockets; columns are
# straight whatever a name is made of.
. "$(dirname "$0")/scenario.bash"

welcome
cat >"$work/wide.py" <<'PY'
import signal, socket
held = [socket.create_server(("", port)) for port in (80, 8080)]
held += [socket.create_connection(address) for address in (("web.lonet", 80), ("東京.lonet", 8080))]
signal.pause()
PY
start web lonet run -H web -- python3 "$work/server.py" 80
start idle lonet run -H cache -- sleep 1000
idle=$pid
lonet wait --timeout 120 web:80
start wide lonet run -H 東京 -- python3 "$work/wide.py"
wide=$pid
until_true eval 'lonet ls --json | jq -e ".hosts | length == 3"'
is "$(lonet ls --json | jq -c '[.hosts[].name]')" '["cache","web","東京"]' "by name"
is "$(lonet ls --json cache | jq -c '.hosts[0].processes')" "[{\"pid\":$idle,\"program\":\"sleep\"}]" "processes, as JSON"
is "$(lonet ls cache.lonet | tail -n +2)" "  sleep (pid $idle)" "those of a host without sockets"
is "$(lonet ls web cache | grep -c '^[^ ]')" 2 "two hosts"
code 1 lonet ls cache wbe
is "$err" "lonet: no host \"wbe\" is up in network $LONET_NETWORK; up are: cache, web, 東京" "one that is not up"
connected() { [ "$(lonet ls 東京 | grep -c connected)" = 2 ]; }
until_true connected
is "$(lonet ls 東京 | tail -n +2 | sed -E 's/127[.0-9:]+ +/OS /')" "\
  東京:1     connected  web:80     OS python3 (pid $wide)
  東京:2     connected  東京:8080  OS python3 (pid $wide)
  東京:80    listening  -          OS python3 (pid $wide)
  東京:8080  listening  -          OS python3 (pid $wide)" "columns of wide characters"
