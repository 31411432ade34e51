#!/bin/bash
# `lonet expect` compares a trace with a file of expected events, and shows the first difference.
. "$(dirname "$0")/scenario.bash"

trace=$tests/traces/shop.jsonl
expect() { code "$1" lonet expect --trace "$trace" "${@:2}"; }

cat >"$work/shop" <<'END_OF_FILE'
# A client asks the web server, which asks the database.
web listening web:80
db listening db:6379
laptop dial laptop:1 -> web:80
unordered {
    laptop connected laptop:1 -> web:80
    web accepted laptop:1 → web:80
}
meanwhile laptop closed laptop:1 -> web:80 received=1250
web dial web:$p -> db:6379
never db reset
db accepted web:$p -> db:6379
web closed laptop:1 -> web:80 by=program sent=*
- fault_set cut web db
eventually within 6s web timed_out * -> db:6379 error=ETIMEDOUT
web dial web:* -> db:5432
web refused
END_OF_FILE
# The second dial of the database comes before what is eventual.
sed -i 's/^eventually/web dial web:2 -> db:6379\neventually/' "$work/shop"
expect 0 "$work/shop"
is "$out$err" "" "what happened as expected is not talked about"
lonet expect --trace - -e 'web listening web:80' -e 'db listening db:*' <"$trace" || fail "a trace on standard input"
lonet expect --trace "$trace" - <"$work/shop" || fail "a file on standard input"

# One line is changed.
sed 's/^web closed .*/web closed laptop:2 -> web:80/' "$work/shop" >"$work/changed"
expect 1 "$work/changed"
is "$out" "\
$work/changed:13: what happened is not what is expected
    14:00:00.133215 web python3(4711) accepted laptop:1 → web:80
    14:00:00.134515 web python3(4711) dial web:1 → db:6379
    14:00:00.134690 db redis-server(4712) accepted web:1 → db:6379
  - web closed laptop:2 -> web:80    (line 13)
  - … or one more line
  + 14:00:00.136790 web python3(4711) closed laptop:1 → web:80 by=program sent=1250 received=78
    14:00:00.137000 laptop curl(4715) closed laptop:1 → web:80 by=program sent=78 received=1250
    14:00:00.437420 - fault_set cut web db
    14:00:00.487420 web python3(4711) dial web:2 → db:6379
  from is laptop:1" "the first difference"

expect 1 -e 'web dial' -e 'web dial'
like "$out" '^-e: more has happened' "more than is expected"
expect 1 -e 'web listening' -e 'web listening'
like "$out" 'nothing: the trace ends' "less than is expected"
expect 1 -e 'never * reset'  -e 'web listening'
like "$out" '^-e:1: what never happens has happened' "what never happens"

# What happens eventually has happened, and more follows: no other failure has this text.
expect 1 -e 'eventually web dial * -> db:6379' -e 'web closed' -e 'web closed'
like "$out" '^-e:3: what happened is not what is expected
.*
  - web closed
  \+ .* web python3.* dial web:2 → db:6379' "the first difference is behind what has happened eventually"
expect 1 -e 'eventually web dial * -> db:6378'
like "$out" '^-e:1: what is expected has not happened.*
  \+ nothing: the trace ends$' "what never happens"
expect 0 -e '- fault_set cut web db'
expect 0 -e '- fault_set cut web db' --event 'web refused'

# What is wrong in a file.
printf 'web listening web:80\nweb dail web:1 -> db:1\n' >"$work/wrong"
expect 2 "$work/wrong"
like "$err" "^lonet: $work/wrong:2:5: no event is called \"dail\".*
  web dail web:1 -> db:1
      \^\$" "line and column of what is wrong"
expect 2 "$work/none"
like "$err" 'cannot read .*none: No such file' "a file that is not there"
code 2 lonet expect --trace "$work/shop" -e 'web dial'
like "$err" 'line 1: not the header of a trace' "a trace that is none"
expect 2
is "$err" 'lonet: `lonet expect` needs FILE; see `lonet help expect`' "nothing to compare with"

# What is recorded is met by what it was recorded from, and by no other trace.
for loose in '' --loose; do
    expect 0 --record "$work/golden" $loose
    expect 0 "$work/golden"
    grep -v '"event":"accepted"' "$trace" >"$work/other.jsonl"
    code 1 lonet expect --trace "$work/other.jsonl" "$work/golden"
done
expect 0 --record - --loose
like "$out" '    laptop dial laptop:[*] -> web:80' "any port with --loose"
expect 0 --record -
like "$out" 'meanwhile \{
    laptop dial laptop:1 -> web:80|meanwhile laptop dial laptop:1 -> web:80' "exact ports without"
# Events that are missing are said.
{ cat "$trace" && echo '{"seq":99,"time":"2026-11-29T14:01:00Z","event":"lost","count":5}' && printf '{"seq":100'; } >"$work/cut.jsonl"
code 0 lonet expect --trace "$work/cut.jsonl" "$work/shop"
like "$err" 'last line is cut off.*events are missing in this trace: 5' "what is missing in a trace"
