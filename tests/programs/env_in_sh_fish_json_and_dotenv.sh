#!/bin/bash
# `lonet env --format` writes for fish, JSON and .env files, too, and --unset what takes the variables away again.
. "$(dirname "$0")/../scenario.bash"
need fish

mkdir "$work/it's here"
export TMPDIR="$work/it's here"
options=(-H α --names strict)
want="$LONET_NETWORK|$TMPDIR/lonet/$LONET_NETWORK|α|strict|$library"
show='echo "$LONET_NETWORK|$LONET_DIR|$LONET_HOST|$LONET_NAMES|$LD_PRELOAD"'
is "$(env -i bash -c "$(lonet env "${options[@]}"); $show")" "$want" "sh"
is "$(env -i HOME="$work" "$(command -v fish)" -c "$(lonet env "${options[@]}" --format fish); $show")" "$want" "fish"
is "$(lonet env "${options[@]}" --format json |
    jq -r '[.LONET_NETWORK, .LONET_DIR, .LONET_HOST, .LONET_NAMES, .LD_PRELOAD] | join("|")')" "$want" "JSON"
export TMPDIR=$work
code 0 lonet env "${options[@]}" --format dotenv
is "$(grep -E '_HOST|_DIR' <<<"$out")" "LONET_DIR=$TMPDIR/lonet/$LONET_NETWORK"$'\n'"LONET_HOST=α" ".env"

left='env | grep -E "^(LONET_[A-Z]+|LD_PRELOAD)=" | grep -vE "LONET_(C_TESTS|FULL)"; true'
is "$(eval "$(lonet env "${options[@]}")"; eval "$(lonet env --unset)"; eval "$left")" "" "sh takes it away"
is "$(export LD_PRELOAD=$library:libm.so.6; eval "$(lonet env --unset)"; echo "$LD_PRELOAD")" libm.so.6 "and leaves what else is preloaded"
is "$(env -i HOME="$work" PATH="$PATH" fish -c "$(lonet env "${options[@]}" --format fish); lonet env --unset --format fish | source
    $left")" "" "fish takes it away"
is "$(lonet env --unset --format json | jq -c '[.LONET_HOST, .LD_PRELOAD]')" "[null,null]" "JSON says null"
code 1 lonet env --unset --format dotenv
like "$err" '^lonet: a .env file cannot take variables away' ".env cannot"
