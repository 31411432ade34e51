#!/bin/bash
# `lonet wait --timeout` ends in time where lonetd does not answer, however many addresses it is to name.
. "$(dirname "$0")/scenario.bash"

start_self_dialer
code 0 lonet wait --timeout 0 α:80
kill -STOP "$daemon"
code 1 timeout 5 lonet wait --timeout 0.5 α:80 α:81 α:82
is "${err/(*)/}" "lonet: lonetd does not answer : it is not known what listens on α:80, α:81, α:82" "it says what it does not know"
kill -CONT "$daemon"
code 0 lonet wait --timeout 60 α:80
