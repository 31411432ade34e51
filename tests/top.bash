# shellcheck shell=bash disable=SC2034,SC2154 # variables for, and of, who sources it
# What the scenarios of `lonet top` share: . "$tests/top.bash", behind scenario.bash.
#
#     terminal WIDTH HEIGHT   starts a shell in a terminal of that size, with tmux
#     typed KEY…              types there, as `tmux send-keys` calls keys
#     screen                  says what is on it
#     shows PATTERN WHAT      waits until some line of it is like that (grep -E)
#     hides PATTERN WHAT      waits until none is
#     watched                 whether events are recorded for who watches
export SHELL=/bin/bash
terminals() { tmux -u -S "$work/tmux" -f /dev/null "$@"; }
end_the_rest() { terminals kill-server 2>/dev/null || true; }
terminal() {
    terminals new-session -d -s top -x "$1" -y "$2" "PS1='ready> ' exec bash --norc --noprofile -i"
    until_true eval 'screen | grep -q "^ready>"'
}
typed() { terminals send-keys -t top "$@"; }
screen() { terminals capture-pane -p -t top | tee "$work/screen"; }
shows() {
    local pattern=$1
    until_true eval 'screen | grep -qE -- "$pattern"'
    echo "ok: $2"
}
hides() {
    local pattern=$1
    until_true eval 'screen && ! grep -qE -- "$pattern" "$work/screen"'
    echo "ok: $2"
}
# The word `recording` of the table's header.
recording() {
    python3 -c 'import struct, sys; print(struct.unpack_from("<Q", open(sys.argv[1], "rb").read(80), 72)[0])' \
        "$TMPDIR/lonet/$LONET_NETWORK/table"
}
watched() { (($(recording) & 4)); }
