#!/bin/bash
# Who may not read packets is told what is missing and what to do, and gets the events of connections, as what they are.
. "$(dirname "$0")/../packets.bash"
. "$(dirname "$0")/../scenario.bash"
need tshark python3 setpriv jq
welcome

# Root gives the capability up.
unprivileged=(env)
! may_read_packets || unprivileged=(setpriv "--bounding-set=-net_raw" --inh-caps=-net_raw)
start web lonet run --host web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
mkdir "$work/captures"
start capture "${unprivileged[@]}" lonet pcap "$work/captures/file"
capture=$pid
until_true [ -s "$work/captures/file" ]
like "$(<"$work/capture")" "^lonet: no packets can be read here: Operation not permitted\. .*CAP_NET_RAW.*unshare -Urn" "it is said, with the remedy"
lonet run --host laptop -- python3 "$work/dial.py" web.lonet 80 >/dev/null
code 1 lonet run --host laptop -- python3 "$work/dial.py" web.lonet 81
captured
web=$(lonet ls --json | jq -r '.hosts[] | select(.name == "web").address')
got=$(fields file frame exported_pdu.ipv4_src exported_pdu.src_port exported_pdu.ipv4_dst exported_pdu.dst_port frame.comment |
    sed -E 's/\([0-9]+\)//; s/ (sent|received|error)=[^ ]*//g' | grep -v ' accepted \| connected ')
laptop=${got%% *}
is "$(grep -v "web.*closed" <<<"$got")" "\
$laptop 1 $web 80 laptop python3 dial laptop:1 → web:80
$laptop 1 $web 80 laptop python3 closed laptop:1 → web:80 by=program
$laptop 1 $web 81 laptop python3 dial laptop:1 → web:81
$laptop 1 $web 81 laptop python3 refused laptop:1 → web:81" "dials, with their addresses and words"
like "$(fields file frame.comment frame.comment)" "web python3\([0-9]+\) accepted laptop:1 → web:80" "accepts"
is "$(fields file tcp frame.number)" "" "nothing passes for a packet"
is "$(tshark -N n -r "$work/captures/file" -V 2>/dev/null | grep -c "IPv4 Src: laptop.lonet" | sed 's/[1-9].*/some/')" some "names"
capinfos "$work/captures/file" >"$work/infos" 2>&1 || fail "capinfos: $(<"$work/infos")"
