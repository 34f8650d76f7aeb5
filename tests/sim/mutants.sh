#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Does the simulator find faults? Each tests/sim/mutants/*.patch breaks the product in one place; the simulator runs on
# a copy of the tree until a seed fails (doc/testing.md):
#   tests/sim/mutants.sh [--seeds N] [--only PATTERN]
# --seeds (500): the most a mutant gets. A line a mutant; last line `K mutants, K found`; exit 1 when one was not found, or a
# patch does not apply any more.
set -u
cd "$(dirname "$0")/../.." || exit 2
seeds=500
only=.
while [ $# -gt 1 ]; do
  case $1 in
    --seeds) seeds=$2 ;;
    --only) only=$2 ;;
    *) break ;;
  esac
  shift 2
done
if [ $# -gt 0 ]; then
  sed -n 's/^# \{0,1\}//; 3,8p' "$0" >&2
  exit 2
fi

copy=$(mktemp -d "${TMPDIR:-/tmp}/kx-mutants.XXXXXX") || exit 1
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT TERM
git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -c 2>/dev/null |
  tar -x -C "$copy" || exit 1
meson setup "$copy/build" "$copy" -Ddpdk=disabled -Dbench=false -Ddocs=false -Dlto=false -Dbuildtype=release \
  -Dwarning_level=0 >"$copy/setup.log" 2>&1 || {
  cat "$copy/setup.log"
  exit 1
}

build() {
  ninja -C "$copy/build" tests/sim/kaelix-sim >"$copy/build.log" 2>&1 || {
    tail -n 20 "$copy/build.log"
    echo "$1: does not build"
    return 1
  }
}

# The first seed that fails, and what it says.
hunt() {
  local name=$1 line
  "$copy/build/tests/sim/kaelix-sim" --seeds "$seeds" --first --no-coverage >"$copy/run.log" 2>&1
  line=$(grep -m 1 '^FAIL seed' "$copy/run.log")
  if [ -z "$line" ]; then
    printf 'not found  %-24s in %s seeds\n' "$name" "$seeds"
    return 1
  fi
  line=${line#FAIL }
  printf 'found      %-24s %s\n' "$name" "${line:0:150}"
}

total=0
found=0
wrong=0
build "the tree itself" || exit 1
for patch in tests/sim/mutants/*.patch; do
  name=$(basename "$patch" .patch)
  [[ $name =~ $only ]] || continue
  total=$((total + 1))
  if ! patch -s -d "$copy" -p1 --no-backup-if-mismatch -F 2 <"$patch" >"$copy/patch.log" 2>&1; then
    cat "$copy/patch.log"
    echo "$name: the patch does not apply any more"
    exit 1
  fi
  if build "$name"; then
    if hunt "$name"; then
      found=$((found + 1))
    fi
  else
    wrong=1
  fi
  patch -s -R -d "$copy" -p1 --no-backup-if-mismatch -F 2 <"$patch" || exit 1
done
echo "$total mutants, $found found"
[ "$found" -eq "$total" ] && [ $wrong -eq 0 ]
