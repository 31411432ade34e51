#!/bin/bash
# The same connections between two hosts of lonet's that are cut and healed, and between two addresses of a network namespace in
# which a filter of the kernel's drops the packets: programs see the same.
. "$(dirname "$0")/scenario.bash"
. "$tests/faults.bash"
need nft unshare

if [ "${1-}" = dropped ]; then
    ip link set lo up
    nft add table ip t
    nft 'add chain ip t c { type filter hook input priority 0; }'
    name_of() { if [ "$1" = α ]; then echo 127.0.0.2; else echo 127.0.0.3; fi; }
    as_host() { exec "${@:2}" "$(name_of "$1")"; }
    drop() { nft add rule ip t c ip saddr "$(name_of "$1")" ip daddr "$(name_of "$2")" drop; }
    cut() { drop α β && drop β α; }
    cut_one_way() { drop α β; }
    heal() { nft flush chain ip t c; }
elif [ "${1-}" = cut ]; then
    cut() { lonet cut α β >/dev/null; }
    cut_one_way() { lonet cut 'α>β' >/dev/null; }
    heal() { lonet heal >/dev/null; }
else
    # As root there is no need of a user namespace; who may make none says so.
    [ "$(id -u)" = 0 ] && spaces=-n || spaces=-Urn
    if ! unshare $spaces true 2>"$work/unshare" ||
        ! unshare $spaces nft add table ip t 2>"$work/unshare"; then
        echo "skipped: $(head -n 1 "$work/unshare")"
        exit 0
    fi
    # What the programs say, but for what each check is called.
    seen() { grep -v '^ok: ' || true; }
    dropped=$(unshare $spaces "$0" dropped) || fail "$dropped"
    cut=$("$0" cut) || fail "$cut"
    is "$(seen <<<"$cut" | grep -c .)" 25 "all is seen"
    is "$(seen <<<"$cut")" "$(seen <<<"$dropped")" "programs see the same"
    exit 0
fi

# says HOST LINE: and what it answers.
says() {
    tell "$@"
    echo "$*: $answer" | sed -E 's/ (α|β)\.lonet| 127\.0\.0\.[23]//g'
}
node α
node β
tell α listen 80
tell β listen 80

connect α β
cut
says α send c first
says α lost c
says β now c
heal
says β wait c

echo "one way"
cut_one_way
says α send c lost
says α lost c
says β send c passes
says α wait c
says β lost c
says β now c
heal
says β wait c

echo "a dial"
cut
tell α dial d "$(name_of β)" 80
says α waits d
tell α dial nobody "$(name_of β)" 81
says α waits nobody
heal
says α made d
says α made nobody
tell β accept d

echo "closed"
cut
says α close c
says β now c
heal
says β wait c

echo "given up"
tell α option d 6 18 300
cut
says α send d lost
says α wait d
heal
tell β send d x
says β wait d
