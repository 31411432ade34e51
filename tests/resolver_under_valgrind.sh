#!/bin/bash
# What the calls of the resolver give is libc's to free, and all of it is freed; nothing is read that was not written.
# (Not lonet_getaddrinfo_a: glibc's own threads for it are what valgrind complains of.)
. "$(dirname "$0")/scenario.bash"
need /etc/services valgrind

for test in posix_getaddrinfo_hints posix_gethostbyname_r_erange posix_getnameinfo_flags posix_interfaces \
    lonet_names_hints lonet_gethostbyname lonet_res_query; do
    code 0 lonet run --host α -- valgrind --quiet --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect "$LONET_C_TESTS/$test"
    is "$(grep '^==' <<<"$err" || true)" "" "$test"
done
