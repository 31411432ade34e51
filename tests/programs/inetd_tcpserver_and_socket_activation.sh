#!/bin/bash
# Three servers on three hosts that listen on port 7, and start a program for each connection: inetd, tcpserver, which
# tells it who calls, and systemd's socket activation. What they start is their host.
. "$(dirname "$0")/../scenario.bash"
need inetd nc systemd-socket-activate tcpserver

service='uname -n; cat'
printf '%s\n' '#!/bin/sh' "$service" >"$work/service"
chmod 755 "$work/service"
echo "7 stream tcp nowait $(id -un) $work/service service" >"$work/inetd.conf"
start inetd lonet run -H α -- inetd -i "$work/inetd.conf"
# shellcheck disable=SC2016
start tcpserver lonet run -H β -- tcpserver 0 7 \
    sh -c 'echo "$TCPREMOTEHOST $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALHOST $TCPLOCALIP $TCPLOCALPORT"; '"$service"
start activate lonet run -H γ -- systemd-socket-activate -l 7 -a --inetd "$work/service"
lonet wait --timeout 120 α:7 β:7 γ:7

say() { echo hello | lonet run -H κ -- nc -N "$1.lonet" 7; }
address() { lonet run -H κ -- getent ahostsv4 "$1.lonet" | awk 'NR == 1 { print $1 }'; }
is "$(say α)" "α.lonet
hello" "inetd"
is "$(say β)" "xn--vxa.lonet $(address κ) 1 xn--nxa.lonet $(address β) 7
β.lonet
hello" "tcpserver"
is "$(say γ)" "γ.lonet
hello" "socket activation"
like "$(<"$work/activate")" "Connection from $(address κ | sed 's/\./\\./g'):1 to" "systemd names the caller"
