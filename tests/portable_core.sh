#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The portable core builds without libdpdk, includes no DPDK header and refers to no rte_ symbol.
set -u
cd "$(dirname "$0")/.." || exit 2

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT

# Nothing of DPDK is to be found, even if a meson.build asked for it.
meson setup "$dir" . -Ddpdk=disabled -Dwerror=true -Dtests=false -Dbench=false -Ddocs=false >"$dir/setup.txt" 2>&1 || {
  tail -n 40 "$dir/setup.txt"
  echo "FAIL: meson setup -Ddpdk=disabled"
  exit 1
}
ninja -C "$dir" >"$dir/build.txt" 2>&1 || {
  tail -n 60 "$dir/build.txt"
  echo "FAIL: the build with -Ddpdk=disabled"
  exit 1
}

failed=0
objects=0
while IFS= read -r object; do
  objects=$((objects + 1))
  if nm -u "$object" | grep -q ' U _*rte_'; then
    echo "FAIL: $object refers to $(nm -u "$object" | awk '$2 ~ /^_*rte_/ { print $2 }' | head -n 5 | xargs)"
    failed=1
  fi
done < <(find "$dir" -name '*.o')
if ninja -C "$dir" -t deps | grep -E '/rte_[a-z0-9_]+\.h$'; then
  echo "FAIL: a portable source includes a DPDK header"
  failed=1
fi
for program in "$dir"/app/*/kaelix* "$dir"/drivers/transport/udp/libkaelix.so; do
  [ -f "$program" ] || continue
  if readelf -d "$program" 2>/dev/null | grep -q 'NEEDED.*librte_'; then
    echo "FAIL: ${program#"$dir"/} is linked with DPDK"
    failed=1
  fi
done
echo "$objects objects"
[ "$objects" -gt 0 ] && [ "$failed" -eq 0 ]
