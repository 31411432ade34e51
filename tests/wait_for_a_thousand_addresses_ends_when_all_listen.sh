#!/bin/bash
# `lonet wait` for a thousand addresses ends when something listens on each, also if lonetd is killed meanwhile; at the
# timeout it names those that are missing.
. "$(dirname "$0")/scenario.bash"

cat >"$work/server.py" <<'PY'
import signal, socket
held = [socket.create_server(("", port)) for port in range(1001, 2001)]
signal.pause()
PY
mapfile -t addresses < <(seq -f 'α:%g' 1001 2000)
start idle lonet run --host β -- sleep 600
until_true lonetd
start waiting lonet wait --timeout 100 "${addresses[@]}"
waiting=$pid
# It has been handed over when lonetd has the connection, which it keeps.
is_connected() { [ "$(ss -xpH state established | grep "/control " | grep -c "pid=$(lonetd),")" -gt 0 ]; }
until_true is_connected
code 1 lonet wait --timeout 0.1 "${addresses[@]}"
is "${err%%;*}" "lonet: nothing listens on $(printf ', %s' "${addresses[@]}" | cut -c 3-)" "all are named where all are missing"
kill_lonetd
start server lonet run --host α -- python3 "$work/server.py"
wait "$waiting" || fail "the wait: $(<"$work/waiting")"
echo "ok: a thousand are waited for, also by the next lonetd"
code 0 lonet wait --timeout 60 "${addresses[@]}"
code 0 lonet wait --timeout 0 "${addresses[@]}"
code 1 lonet wait --timeout 0.1 "${addresses[@]}" α:2001 γ:1
like "$err" "^lonet: nothing listens on α:2001, γ:1; α listens on [0-9, ]* and [0-9]+ more; no host \"γ\" is up" "only those that are missing are named"
