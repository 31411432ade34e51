#!/bin/bash
# An sshd on α:22, whoever runs it, and ssh from β: a command, its exit code, a forwarded port in each direction, and a
# file by scp. What sshd starts for the user is host α, too.
. "$(dirname "$0")/../scenario.bash"
need curl python3 scp ssh ssh-keygen sshd

ssh_files
echo "Subsystem sftp internal-sftp" >>"$work/sshd_config"
start sshd lonet run -H α -- "$(command -v sshd)" -D -e -f "$work/sshd_config"
lonet wait --timeout 120 α:22
user=$(id -un)
on_β() { lonet run -H β -- "$1" -F "$work/ssh_config" "${@:2}" </dev/null; }

# A user whose shell is none can do all but run a command.
case $(getent passwd "$user") in
    */nologin | */false)
        code 1 on_β ssh "$user@α.lonet" true
        ;;
    *)
        # shellcheck disable=SC2016
        is "$(on_β ssh "$user@α.lonet" 'uname -n; echo $SSH_CONNECTION')" "α.lonet
$(lonet run -H γ -- getent ahostsv4 β.lonet | awk 'NR == 1 { print $1 }') 1 \
$(lonet run -H γ -- getent ahostsv4 α.lonet | awk 'NR == 1 { print $1 }') 22" "a command on α, called from β's first port"
        code 42 on_β ssh "$user@α.lonet" 'exit 42'
        code 0 on_β ssh "$user@α.lonet" 'curl -sS http://γ.lonet:9/ 2>&1 || true'
        ;;
esac

seq 10000 >"$work/file"
on_β scp -q "$work/file" "$user@α.lonet:$work/copy"
is "$(md5sum <"$work/copy")" "$(md5sum <"$work/file")" "scp to α"

# -L: β:8080 is what α reaches as its own loopback's 80. -R: α:8081 is what β reaches as γ:80.
echo "here is α" >"$work/α-page"
echo "here is γ" >"$work/γ-page"
start web-α lonet run -H α -- python3 -m http.server --bind 127.0.0.1 --directory "$work" 80
start web-γ lonet run -H γ -- python3 -m http.server --directory "$work" 80
lonet wait --timeout 120 γ:80
# At the autobound ports of β: the tunnel's own connection is β:1.
start tunnel lonet run -H β -- ssh -F "$work/ssh_config" -N -o ExitOnForwardFailure=yes \
    -L '*:8080:127.0.0.1:80' -R '*:8081:γ.lonet:80' "$user@α.lonet"
lonet wait --timeout 120 β:8080
lonet run -H α -- lonet wait --timeout 120 α:8081
until_true lonet run -H α -- curl -sS http://127.0.0.1/
is "$(lonet run -H δ -- curl -sS http://β.lonet:8080/α-page)" "here is α" "-L: δ reaches α's loopback by way of β"
is "$(lonet run -H α -- curl -sS http://127.0.0.1:8081/γ-page)" "here is γ" "-R: α reaches γ by way of β"
