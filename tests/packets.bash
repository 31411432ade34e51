# shellcheck shell=bash disable=SC2154 # variables of scenario.bash
# What the scenarios about captures share: . "$(dirname "$0")/../packets.bash" before anything else
#
#     where_packets_can_be_read "$@"   starts the scenario anew in a network namespace of its own where packets can be read there
#                               alone; ends it, with the reason, where they cannot be read at all
#     capture FILE [ARG…]       begins to capture into $work/captures/FILE; its pid is in $capture
#     captured                  ends it
#     fields FILE FILTER FIELD… these fields of the packets that the filter takes, with blanks between them

may_read_packets() { python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)' 2>/dev/null; }

where_packets_can_be_read() {
    local why
    ! may_read_packets || return 0
    if why=$(unshare -Urn true 2>&1); then
        exec unshare -Urn bash -c 'ip link set lo up && exec "$@"' - "$0" "$@"
    fi
    echo "skipped: no packets can be read here, and no namespace can be made: $why"
    exit 0
}

capture() {
    local file=$work/captures/$1
    shift
    mkdir -p "$work/captures"
    start "capture" lonet pcap "$file" "$@"
    capture=$pid
    until_true [ -s "$file" ]
}

captured() {
    kill -INT "$capture"
    wait "$capture" || fail "lonet pcap: exit code $?: $(<"$work/capture")"
}

fields() {
    local file=$work/captures/$1 filter=$2 field
    local -a shown=()
    shift 2
    for field; do shown+=(-e "$field"); done
    # Where the kernel is busy, packets of one connection come out of order.
    tshark -o tcp.reassemble_out_of_order:TRUE -r "$file" -Y "$filter" -T fields -E separator=' ' "${shown[@]}" \
        2>"$work/tshark" || fail "tshark: $(<"$work/tshark")"
}
