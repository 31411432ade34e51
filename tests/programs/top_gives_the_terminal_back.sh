#!/bin/bash
# However `lonet top` ends or stops, the terminal is as it was: by q, Esc, Ctrl-C and signals, and while Ctrl-Z has it stopped.
. "$(dirname "$0")/../scenario.bash"
need tmux
. "$tests/top.bash"

start alpha lonet run -H alpha -- sleep 1000
until_true lonet ls alpha
terminal 80 24
typed "stty -g >'$work/before'; echo said-before" Enter
shows "^said-before" "something is on the terminal"
# as_before CODE: it has ended with this code, and the terminal is as before.
as_before() {
    shows "^code $1\$" "its exit code is $1"
    shows "^said-before" "what was on the terminal is there again"
    is "$(terminals display-message -p -t top '#{alternate_on} #{cursor_flag}')" "0 1" "the screen, and the cursor"
    typed "stty -g >'$work/after'; echo written" Enter
    shows "^written" "typed characters are shown"
    is "$(<"$work/after")" "$(<"$work/before")" "the terminal's settings are as before"
    typed "clear; echo said-before" Enter
    hides "^code" "the next one"
}
begun() {
    typed "lonet top; echo code \$?" Enter
    shows "^ alpha +127" "it is shown"
}
for key in q Escape C-c; do
    begun
    typed "$key"
    as_before 0
done
for signal in TERM:143 HUP:129 INT:130; do
    begun
    kill -"${signal%:*}" "$(pgrep -x lonet -P "$(terminals display-message -p -t top '#{pane_pid}')")"
    # Of what was typed a shell leaves the rest when it sees that a program was interrupted.
    [ "${signal%:*}" != INT ] || { until_true eval 'screen | grep -q "^said-before"' && typed "echo code \$?" Enter; }
    as_before "${signal#*:}"
done
begun
typed C-z
shows "Stopped" "Ctrl-Z stops it"
shows "^said-before" "with the terminal as it was"
is "$(terminals display-message -p -t top '#{alternate_on} #{cursor_flag}')" "0 1" "also the screen and the cursor"
typed "clear" Enter
typed "fg; echo code \$?" Enter
shows "^ alpha +127" "fg has it continue"
terminals resize-window -t top -x 100 -y 30
start beta lonet run -H beta -- sleep 1000
shows "^ beta +127" "it goes on, at another size"
shows "─{85}" "which it uses"
typed q
shows "^code 0" "and ends"
