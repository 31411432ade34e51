#!/bin/bash
# A capture of hosts has what these send and receive and nothing else, also of one that comes up later; it ends after its time.
. "$(dirname "$0")/../packets.bash"
where_packets_can_be_read "$@"
. "$(dirname "$0")/../scenario.bash"
need tshark python3
welcome

code 1 lonet pcap "$work" web
like "$err" "^lonet: cannot write $work: Is a directory" "a file that cannot be written"
code 1 lonet pcap "$work/none" "xn--db-"
like "$err" '"xn--db-" is not the name of a host' "no name of a host"
code 2 lonet pcap --for soon "$work/none"
like "$err" "a time" "no time"

start web lonet run --host web -- python3 "$work/server.py" 80
start db lonet run --host db -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80 db:80
capture file web.lonet laptop
like "$(<"$work/capture")" 'no host "laptop" is up .*; what comes later is captured' "a host that is not up is said"
for to in web db; do lonet run --host other -- python3 "$work/dial.py" $to.lonet 80 >/dev/null; done
lonet run --host laptop -- python3 "$work/dial.py" db.lonet 80 >/dev/null
captured
names() { tshark -N n -r "$work/captures/$1" -Y 'tcp.flags.syn == 1 && tcp.flags.ack == 0' -T fields -e ip.src_host -e ip.dst_host 2>"$work/tshark"; }
is "$(names file)" "other.lonet	web.lonet
laptop.lonet	db.lonet" "packets of web's and laptop's alone"

code 0 lonet pcap --for 1ms "$work/captures/short"
is "$(names short)" "" "a capture that ends by itself"
capture whole
lonet run --host laptop -- python3 "$work/dial.py" web.lonet 80 >/dev/null
lonet down --kill
wait "$capture" || fail "exit code $?: $(<"$work/capture")"
is "$(names whole)" "laptop.lonet	web.lonet" "one ends with its network"
lonet run --host web -- python3 -c 'import time; time.sleep(1000)' &
started+=($!)
until_true eval 'lonet ls | grep -q web'
is "$(lonet pcap --for 1ms - | tshark -r - 2>"$work/tshark")" "" "one in a pipe"
