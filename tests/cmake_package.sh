#!/bin/bash
# A CMake project finds an installed lonet, by version, too, and what it builds runs.
. "$(dirname "$0")/scenario.bash"
root=$tests/..
prefix=$root/prefix
if [ ! -d "$prefix" ]; then
    prefix=$work/prefix
    "$root/scripts/install" --prefix "$prefix" >/dev/null
fi
cd "$work"
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.13)
project(user C)
find_package(lonet ${WANTED} REQUIRED)
add_executable(user user.c)
target_link_libraries(user lonet::lonet)
END
cat >user.c <<'END'
#include <lonet.h>
#include <stdio.h>
int main(void)
{
	lonet_net *net;
	if (lonet_join(NULL, &net) < 0)
		return puts(lonet_errmsg()), 1;
	puts(lonet_version());
	return lonet_leave(net);
}
END
version=$(lonet --version | sed 's/^[^ ]* //')
cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$version" >cmake.log 2>&1
cmake --build build >>cmake.log 2>&1
is "$(build/user)" "$version" "a program linked with lonet::lonet runs"
code 1 cmake -S . -B other -DCMAKE_PREFIX_PATH="$prefix" -DWANTED=99.0
like "$err" 'not\s+compatible|requested version "?99' "a version that is not there is refused"
