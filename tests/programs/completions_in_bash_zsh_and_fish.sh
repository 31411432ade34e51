#!/bin/bash
# What `lonet completions` prints makes bash, zsh and fish complete commands, options, and the networks, hosts and addresses
# that are up.
. "$(dirname "$0")/../scenario.bash"
need fish zsh

welcome
start alpha lonet run -H alpha -- python3 "$work/server.py" 8080
start alps lonet run -H alps -- sleep 1000
start other lonet run -n "$LONET_NETWORK-other" -H alien -- sleep 1000
lonet wait --timeout 120 alpha:8080
up() { lonet ls alps && lonet ls -n "$LONET_NETWORK-other" alien; }
until_true up

cat >"$work/bash" <<'END'
source <(lonet completions bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
"$(complete -p lonet | sed 's/.*-F \([^ ]*\).*/\1/')" lonet "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
END
cat >"$work/zsh" <<'END'
# What zsh's own functions are given is what would be offered: a word, a colon, and a description if there is one.
compdef() { completer=$1 }
_describe() { print -rl -- "${(@P)3}" | sed -E 's/([^\\]):.*/\1/; s/\\:/:/g' }
source <(lonet completions zsh)
words=("$@") CURRENT=$#
$completer
END
for shell in bash zsh fish; do
    completed() {
        case $shell in
            bash) bash "$work/bash" lonet "$@" ;;
            zsh) zsh -f "$work/zsh" lonet "$@" ;;
            fish) fish -c 'lonet completions fish | source; complete -C "$argv"' "lonet $*" | cut -f 1 ;;
        esac | sed 's/ *$//' | sort | xargs
    }
    is "$(completed expl)" explain "$shell: a command"
    is "$(completed ls --js)" --json "$shell: an option"
    is "$(completed run --loopback "")" "host real" "$shell: a value"
    is "$(completed kill al)" "alpha alps" "$shell: hosts that are up"
    is "$(completed kill -n "$LONET_NETWORK-other" al)" alien "$shell: those of another network"
    is "$(completed wait al)" "alpha:8080 alps" "$shell: addresses"
    is "$(completed ls -n "$LONET_NETWORK")" "$LONET_NETWORK $LONET_NETWORK-other" "$shell: networks"
done
