#!/bin/bash
# `lonet run` exits as its program does; 125, 126 and 127 say that lonet failed, that the program cannot be hooked,
# supervised or executed, and that it is not there. Each with one sentence.
. "$(dirname "$0")/scenario.bash"

for n in 0 1 42 125 255; do code $n lonet run -H α -- sh -c "exit $n"; done
for signal in TERM KILL SEGV; do
    code $((128 + $(kill -l $signal))) sh -c "lonet run -H α -- sh -c 'kill -$signal \$\$'; exit \$?"
done
echo "ok: the program's own"

code 127 lonet run -H α -- no-such-program
like "$err" '^lonet: "no-such-program" is in no directory of PATH: [^'$'\n'']*$' "not in PATH: $err"
mkdir -m 000 "$work/shut"
code 127 env PATH="$work/shut:$PATH" lonet run -H α -- no-such-program
like "$err" '^lonet: "no-such-program" is in no directory of PATH: ' "nor in a directory of it that may not be searched: $err"
code 127 lonet run -H α -- ./no/such/program
like "$err" '^lonet: "./no/such/program" is not found [^'$'\n'']*$' "not at that path: $err"

echo "#!/bin/sh" >"$work/plain"
code 126 lonet run -H α -- "$work/plain"
like "$err" '^lonet: .*plain" cannot be executed \(Permission denied\): check its permissions$' "not executable, nor by --unhooked: $err"
printf '#!/no/such/interpreter\n' >"$work/script" && chmod +x "$work/script"
code 127 lonet run -H α -- "$work/script"
like "$err" 'is run by "/no/such/interpreter", which is not found' "a script without its interpreter: $err"
printf 'int main(void) { return 0; }\n' >"$work/static.c"
cc -static -o "$work/static" "$work/static.c"
code 126 lonet run --supervise never -H α -- "$work/static"
like "$err" 'is statically linked.*\(--unhooked runs it anyway\)$' "static: $err"
# What is supervised cannot be supervised by another lonet, too.
nested=(lonet run --supervise always -H α -- env -u LONET_SUPERVISED)
code 126 "${nested[@]}" lonet run -H α -- "$work/static"
like "$err" 'static" cannot be supervised: something else supervises this process' "static, and not to be supervised: $err"
code 126 "${nested[@]}" lonet check "$work/static"
code 0 lonet run --unhooked -H α -- "$work/static"

code 125 env LONET_AUTOBIND=zero lonet run -H α -- true
like "$err" '^lonet: LONET_AUTOBIND="zero" is not a port from 1 to 65535$' "lonet's own failure: $err"
code 125 env TMPDIR=/proc lonet run -H α -- true
like "$err" '^lonet: network ".*": cannot [^'$'\n'']*$' "no place for the network: $err"
code 2 lonet run -H α
code 2 lonet run --no-such-flag -- true
