#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Compile every public header alone, twice in one file: as C (gnu11), and those of libkaelix as C++ too.
# From meson: CC is the compiler, KX_DPDK=1 where libdpdk is there.
set -u
cd "$(dirname "$0")/.." || exit 2

cc=${CC:-cc}
cxx=${CXX:-c++}
dpdk=${KX_DPDK:-1}
needs_dpdk='^(lib/(net|worker|telemetry)|drivers/(port|transport/dpdk))/'
public_cxx='^(lib/(base|client)|drivers/transport)/'
failed=0
count=0

includes=()
for dir in lib/* drivers/*/*; do
  [ -d "$dir" ] && includes+=("-I$dir")
done
dpdk_flags=()
if [ "$dpdk" = 1 ]; then
  read -ra dpdk_flags <<<"$(pkg-config --cflags libdpdk)"
fi

# check LANGUAGE HEADER: COMMAND...
check() {
  local what=$1 header=$2
  shift 2
  count=$((count + 1))
  if ! printf '#include "%s"\n#include "%s"\n' "${header##*/}" "${header##*/}" | "$@" -fsyntax-only -; then
    echo "FAIL: $header as $what"
    failed=$((failed + 1))
  fi
}

for header in $(git ls-files --cached --others --exclude-standard 'lib/*/kx_*.h' 'drivers/*kx_*.h' 2>/dev/null ||
  find lib drivers -name 'kx_*.h'); do
  flags=()
  if [[ $header =~ $needs_dpdk ]]; then
    [ "$dpdk" = 1 ] || continue
    flags=("${dpdk_flags[@]}")
  fi
  # shellcheck disable=SC2086 # CC may be a command with arguments
  check C "$header" $cc -x c -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror "${includes[@]}" "${flags[@]}" -march=native
  if [[ $header =~ $public_cxx && ! $header =~ $needs_dpdk ]]; then
    check C++ "$header" "$cxx" -x c++ -Wall -Wextra -Werror "${includes[@]}"
  fi
done
echo "$count header compilations, $failed failed"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
