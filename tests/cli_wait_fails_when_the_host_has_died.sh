#!/bin/bash
# `lonet wait` fails when the host that it waits for has had a process since the wait began and has none for a second; where
# one program follows another on the host, or with --keep-waiting, it goes on.
. "$(dirname "$0")/scenario.bash"

welcome
start other lonet run -H β -- sleep 1000
waits_begun() { [ "$(ls "/proc/$(lonetd)/fd" | wc -l)" -ge $(($1 + descriptors)) ]; }
up() { lonet ls --json | jq -e --arg name "$1" '.hosts[] | select(.name == $name)'; }
gone() { ! up "$1"; }
# begin_wait HOST LOG: starts a program on the host, and then a wait for its port 80; their pids are in $program and $waiting.
begin_wait() {
    start program lonet run -H "$1" -- sleep 1000
    program=$pid
    until_true up "$1"
    descriptors=$(ls "/proc/$(lonetd)/fd" | wc -l)
    start "$2" lonet wait --timeout 60 "$1:80"
    waiting=$pid
    until_true waits_begun 1
}
until_true up β
descriptors=$(ls "/proc/$(lonetd)/fd" | wc -l)

start dying lonet wait --timeout 60 α:80 β:81
dying=$pid
start keeping lonet wait --keep-waiting --timeout 60 α:80
keeping=$pid
until_true waits_begun 2
lonet run -H α -- true
code 1 wait "$dying"
is "$(<"$work/dying")" "lonet: α has ended (--keep-waiting waits on): nothing listens on α:80; no host \"α\" is up in network \
$LONET_NETWORK; up are: β" "its program has ended"
ended "$keeping" && fail "--keep-waiting has ended: $(<"$work/keeping")"
start server lonet run -H α -- python3 "$work/server.py" 80
wait "$keeping" || fail "--keep-waiting: $(<"$work/keeping")"
echo "ok: --keep-waiting goes on"

# As initdb before postgres.
start one_after_another lonet wait --timeout 60 γ:80
waiting=$pid
until_true waits_begun 1
lonet run -H γ -- true
start server lonet run -H γ -- python3 "$work/server.py" 80
wait "$waiting" || fail "one program after another: $(<"$work/one_after_another")"
echo "ok: one program after another"

# One that dies while there is no lonetd: who waits is stopped, and asks another one when it continues.
begin_wait ε forgotten
kill -STOP "$waiting"
kill_lonetd
kill -KILL "$program"
until_true ended "$program"
kill -CONT "$waiting"
code 1 wait "$waiting"
like "$(<"$work/forgotten")" "^lonet: ε has ended " "a host that has died with lonetd"

# One that has died before lonetd has: less than a second before, so that no wait has failed for it yet.
begin_wait ζ untold
kill -KILL "$program"
until_true gone ζ
kill_lonetd
code 1 wait "$waiting"
like "$(<"$work/untold")" "^lonet: ζ has ended " "a host that has died just before lonetd"

# A host that has died before the wait began may be about to begin.
lonet run -H δ -- true
until_true gone δ
code 1 lonet wait --timeout 1.5 δ:80
like "$err" '^lonet: nothing listens on δ:80; ' "a host that was down all the time"
# Also where lonetd is killed meanwhile.
descriptors=$(ls "/proc/$(lonetd)/fd" | wc -l)
start patient lonet wait --timeout 2.5 δ:80 ε:80 ζ:80
waiting=$pid
until_true waits_begun 1
kill_lonetd
code 1 wait "$waiting"
like "$(<"$work/patient")" '^lonet: nothing listens on δ:80, ε:80, ζ:80; ' "some that were down all the time, when lonetd is killed"
