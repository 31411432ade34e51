#!/bin/bash
# A supervised sshd on alpha:22, whose process for clients that are not authenticated is in sshd's own filter of system calls beside
# lonet's, and a supervised ssh of beta's: each names the other's address and port; a command, and a connection by way of alpha.
. "$(dirname "$0")/../scenario.bash"
need pgrep python3 ssh ssh-keygen sshd

ssh_files
echo "LogLevel VERBOSE" >>"$work/sshd_config"
echo "    AddressFamily inet" >>"$work/ssh_config"
welcome
start web lonet run --host gamma -- python3 "$work/server.py" 80
start sshd lonet run --host alpha --supervise always -- "$(command -v sshd)" -D -e -f "$work/sshd_config"
sshd=$pid
lonet wait --timeout 120 alpha:22 gamma:80
user=$(id -un)
on_beta() { lonet run --host beta --supervise always -- ssh -F "$work/ssh_config" "$@" </dev/null; }
address() { lonet run --host delta -- getent ahostsv4 "$1.lonet" | awk 'NR == 1 { print $1 }'; }

is "$(on_beta -W gamma.lonet:80 "$user@alpha.lonet")" welcome "a connection from alpha to gamma, for beta"
# The address that sshd has been dialed from is that of a host which is up.
start beta lonet run --host beta -- sleep 1000
like "$(<"$work/sshd")" "Connection from $(address beta) port 1 on $(address alpha) port 22" "sshd knows both ends"
# A user whose shell is none can do all but run a command.
case $(getent passwd "$user") in
    */nologin | */false) code 1 on_beta "$user@alpha.lonet" true ;;
    *)
        # shellcheck disable=SC2016
        is "$(on_beta "$user@alpha.lonet" 'uname -n; echo $SSH_CONNECTION')" "alpha.lonet
$(address beta) 1 $(address alpha) 22" "a command on alpha knows both ends"
        code 42 on_beta "$user@alpha.lonet" 'exit 42'
        ;;
esac

# A client that has sent its version, and is not authenticated yet.
cat >"$work/half.py" <<'END'
import socket, sys
c = socket.create_connection(("alpha.lonet", 22))
c.sendall(b"SSH-2.0-half\r\n")
sys.stdin.readline()
END
commanded 5 half lonet run --host beta -- python3 "$work/half.py"
filtered() {
    local process
    for process in $(descendants "$sshd"); do
        awk '/^Seccomp_filters:/ { n = $2 } END { exit !(n > 1) }' "/proc/$process/status" && return 0
    done
    return 1
}
until_true filtered
echo "ok: its own filter is on"
