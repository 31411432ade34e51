#!/bin/bash
# A space or a colon separates the names in LD_PRELOAD: with a library below such a path the program would run
# without lonet and with no more than a line of ld.so's. It is not run.
. "$(dirname "$0")/scenario.bash"

bin=$(dirname "$library")
for name in "with space" "with:colon" 'with$dollar'; do
    mkdir "$work/$name" && cp "$bin/lonet" "$bin/liblonet.so" "$work/$name"
    code 125 "$work/$name/lonet" run -H α -- echo ran
    like "$err" '^lonet: .*liblonet.so: LD_PRELOAD cannot carry a path with .* in it' "$name: $err"
    is "$out" "" "$name: the program did not run"
done
mkdir "$work/ünï" && cp "$bin/lonet" "$bin/liblonet.so" "$work/ünï"
is "$("$work/ünï/lonet" run -H α -- echo ran)" ran "any other path will do"
mkdir "$work/alone" && cp "$bin/lonet" "$work/alone"
code 125 "$work/alone/lonet" run -H α -- echo ran
like "$err" '^lonet: liblonet.so is neither beside .*/alone/lonet nor in ../lib' "without a library: $err"
