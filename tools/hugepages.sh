# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# To be sourced. hugepages_reserve PAGES: see to at least that many 2 MiB pages in total and to a mounted
# hugetlbfs; says what it did or why it cannot, and returns 1 then. hugepages_restore: take back what was changed.
hugepages_dir=/sys/kernel/mm/hugepages/hugepages-2048kB
hugepages_before=
hugepages_set=
hugepages_mounted=

hugepages_reserve() {
  local want=$1 have need_kb available_kb
  have=$(cat "$hugepages_dir/nr_hugepages" 2>/dev/null) || {
    echo "hugepages: this kernel has none of 2 MiB; going on without"
    return 1
  }
  if [ "$have" -lt "$want" ]; then
    need_kb=$(((want - have) * 2048))
    available_kb=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    if [ "$available_kb" -lt $((need_kb + 1048576)) ]; then
      echo "hugepages: $((need_kb / 1024)) MiB more would leave less than 1 GiB of $((available_kb / 1024)) MiB;" \
        "going on without"
      return 1
    fi
    hugepages_before=$have
    hugepages_set=$want
    if ! { echo "$want" >"$hugepages_dir/nr_hugepages"; } 2>/dev/null; then
      hugepages_before=
      echo "hugepages: not allowed to reserve them; going on without"
      return 1
    fi
    hugepages_set=$(cat "$hugepages_dir/nr_hugepages")
    if [ "$hugepages_set" -lt "$want" ]; then
      echo "hugepages: the kernel found only $hugepages_set of $want; going on without"
      hugepages_restore
      return 1
    fi
    echo "hugepages: reserved $want x 2 MiB for this run (before: $have)"
  fi
  if ! grep -q ' hugetlbfs ' /proc/mounts; then
    if ! { mkdir -p /dev/hugepages && mount -t hugetlbfs -o pagesize=2M nodev /dev/hugepages; } 2>/dev/null; then
      echo "hugepages: hugetlbfs cannot be mounted; going on without"
      hugepages_restore
      return 1
    fi
    hugepages_mounted=1
  fi
}

# Someone else may have changed the number since: then it is theirs.
hugepages_restore() {
  if [ -n "$hugepages_mounted" ]; then
    umount /dev/hugepages 2>/dev/null
    hugepages_mounted=
  fi
  if [ -n "$hugepages_before" ] && [ "$(cat "$hugepages_dir/nr_hugepages")" = "$hugepages_set" ]; then
    echo "$hugepages_before" >"$hugepages_dir/nr_hugepages" 2>/dev/null
  fi
  hugepages_before=
}
