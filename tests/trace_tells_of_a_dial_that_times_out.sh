#!/bin/bash
# A dial that nobody answers is timed_out in the trace, with the error that its program has got.
. "$(dirname "$0")/scenario.bash"
welcome

cat >"$work/late.py" <<'END'
import errno, socket
s = socket.socket()
# It gives up when its second segment is not answered, either.
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
print(errno.errorcode[s.connect_ex((socket.gethostbyname("web.lonet"), 80))])
END
start web lonet run --host web -- python3 "$work/server.py" 80
lonet wait --timeout 120 web:80
code 0 lonet trace --start
code 0 lonet cut web
is "$(lonet run --host laptop -- python3 "$work/late.py")" ETIMEDOUT "a dial to a host that is cut off"
until_true eval 'lonet trace | grep -q "laptop host_down"'
is "$(lonet trace | grep -E ' (dial|connected|timed_out|refused) ' | sed -E 's/^[^ ]+ //; s/\([0-9]+\)//')" "\
laptop python3 dial laptop:1 → web:80
laptop python3 timed_out laptop:1 → web:80 error=ETIMEDOUT" "is said so"
code 0 lonet expect -e 'laptop dial laptop:1 -> web:80' -e 'laptop timed_out laptop:1 -> web:80 error=ETIMEDOUT'
