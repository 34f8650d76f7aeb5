#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# _leftovers.sh [--clean] ID: print what a smoke script with KX_ID=ID left behind: processes whose
# environment carries that id (callers excepted), network namespaces, interfaces, hugepage
# files. Exit 1 if there is anything. With --clean also remove it.
set -u
clean=0
[ "$1" != --clean ] || { clean=1 && shift; }
id=$1
found=0

left() {
  echo "left behind: $1"
  found=1
}

# Those with the id in their environment; this script and those that called it excepted.
processes() {
  local pid=$$ callers=" "
  while [ "${pid:-0}" -gt 1 ]; do
    callers="$callers$pid "
    pid=$(awk '{ sub(/.*\) /, ""); print $2 }' "/proc/$pid/stat" 2>/dev/null)
  done
  grep -lszxF "KX_ID=$id" /proc/[0-9]*/environ | cut -d/ -f3 | while read -r pid; do
    [[ $callers == *" $pid "* ]] || echo "$pid"
  done
}

# A process that was told to stop may need a moment.
for ((i = 0; i < 50; i++)); do
  pids=$(processes)
  [ -n "$pids" ] || break
  sleep 0.2
done
for pid in $pids; do
  left "process $pid: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | cut -c1-150)"
  [ $clean = 0 ] || kill -KILL "$pid" 2>/dev/null
done
for ns in $(ip netns list 2>/dev/null | awk -v id="$id-" 'index($1, id) == 1 { print $1 }'); do
  left "network namespace $ns"
  [ $clean = 0 ] || ip netns del "$ns"
done
for link in $(ip -o link show 2>/dev/null | awk -F': ' -v id="$id" '{ sub(/@.*/, "", $2) } index($2, id) == 1 { print $2 }'); do
  left "network interface $link"
  [ $clean = 0 ] || ip link del "$link" 2>/dev/null
done
while read -r mount; do
  for file in "$mount/$id"*; do
    [ -e "$file" ] || continue
    left "hugepage file $file"
    [ $clean = 0 ] || rm -f "$file"
  done
done < <(awk '$3 == "hugetlbfs" { print $2 }' /proc/mounts)
exit $found
