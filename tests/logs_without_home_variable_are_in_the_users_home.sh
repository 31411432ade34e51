#!/bin/bash
# Where HOME is unset, is empty or is no absolute path, the logs of `lonet run --ready` are in the home directory that the user
# database has for the user, and `lonet logs` finds them. The database of a mount namespace has a home for the test.
. "$(dirname "$0")/scenario.bash"

home=$work/own
mkdir -m 700 "$home"
end_the_rest() { "${as_root_of_namespace[@]}" lonet down --kill 2>/dev/null || true; }
echo "root:x:0:0::$home:/bin/sh" >"$work/passwd"
# The mount is the namespace's alone. Its root is this user.
as_root_of_namespace=(unshare -Urm sh -c 'mount --bind "$0" /etc/passwd && exec env -u XDG_STATE_HOME "$@"' "$work/passwd")
if ! "${as_root_of_namespace[@]}" true 2>"$work/no"; then
    echo "skipped: no user namespaces here: $(<"$work/no")"
    exit 0
fi

server=(python3 -m http.server --directory "$home")
# Each command has a namespace of its own: they find the network by its directory.
ready() { # WHAT NAME=VALUE-OR-OPTIONS-OF-ENV…
    local what=$1
    shift
    code 0 "${as_root_of_namespace[@]}" env "$@" sh -c '
        lonet run --ready 80 --host α -- "$@" 80 && lonet logs α && lonet down --kill' - sh -c 'echo begun; exec "$@"' - "${server[@]}"
    like "$out" "^α is ready \(pid [0-9]+\); it writes to $home/\.local/state/lonet/$LONET_NETWORK/[0-9.]+/α\.log" "$what"
    like "$out" $'\nbegun' "$what: lonet logs finds it"
}
ready "HOME is unset" -u HOME
ready "HOME is empty" HOME=
ready "HOME is relative" HOME=own
is "$(ls -A "$home")" .local "nothing else is made there"

rm -r "$home"
code 125 "${as_root_of_namespace[@]}" env -u HOME lonet run --ready 80 --host α -- "${server[@]}" 80
is "$err" "lonet: there is no place for logs, as the user's home directory, $home, does not exist: use --log FILE, or set XDG_STATE_HOME to a directory \
for them" "a home that does not exist"
[ ! -e "$home" ] || fail "a home was made"
