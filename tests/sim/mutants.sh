#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Does the simulator see what it claims to see? Each patch in tests/sim/mutants/ breaks one promise of the product; the
# simulator has to fail on one of its first seeds, and pass on the same seed without the patch (doc/testing.md):
#   tests/sim/mutants.sh [--only NAME]... [--seeds MAX (500)] [--some N] [--jobs J (2)]
# --some N: N of them, others with each commit. One line a mutant: the seed that found it and what it said. The last line
# is `K mutants, K found`; exit 1 when one was not found, does not apply or does not compile without warnings. The tree
# itself is not touched: patches are applied to a copy, which is removed at the end.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$PWD

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin tests/sim/mutants.sh "$@"

only=()
max=500
some=0
jobs=2
while [ $# -gt 0 ]; do
  args_value "$@"
  case $1 in
    --only) only+=("$2") ;;
    --seeds) max=$2 ;;
    --some) some=$2 ;;
    --jobs) jobs=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
args_number --seeds "$max" 1
args_number --some "$some" 0
args_number --jobs "$jobs" 1 256

names=()
for patch in tests/sim/mutants/*.patch; do
  name=${patch##*/}
  names+=("${name%.patch}")
done
if [ ${#only[@]} -gt 0 ]; then
  for name in "${only[@]}"; do
    [ -f "tests/sim/mutants/$name.patch" ] || {
      echo "there is no mutant '$name'" >&2
      exit 2
    }
  done
  names=("${only[@]}")
elif [ "$some" -gt 0 ] && [ "$some" -lt ${#names[@]} ]; then
  commits=$(git rev-list --count HEAD 2>/dev/null || echo 0)
  picked=()
  for ((i = 0; i < some; i++)); do
    picked+=("${names[(commits * some + i) % ${#names[@]}]}")
  done
  names=("${picked[@]}")
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/kaelix-mutants.XXXXXX") || exit 1
child=
finish() {
  local rc=$?
  trap '' INT TERM
  trap - EXIT
  if [ -n "$child" ]; then
    kill -TERM -- "-$child" 2>/dev/null
    wait "$child" 2>/dev/null
  fi
  rm -rf "$work"
  exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run COMMAND...: in a process group of its own and waited for, so that a signal ends all of it at once.
run() {
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  wait "$child"
  local rc=$?
  child=
  return $rc
}

build() {
  run ninja -C "$work/build" -j "$jobs" tests/sim/kaelix-sim >"$work/build.log" 2>&1
}

# seeds PROGRAM FROM COUNT: up to the first that fails; what it said goes to $work/seeds.log. 0: all pass.
seeds() {
  run "$1" --from "$2" --seeds "$3" --first --no-coverage --jobs "$jobs" >"$work/seeds.log" 2>&1
}

# failed_seeds: those of the last run, ascending
failed_seeds() {
  sed -n 's/^replay: .* --seed \([0-9][0-9]*\) .*/\1/p' "$work/seeds.log" | sort -n
}

# find NAME: the line of a mutant that is built. 0: found.
find_mutant() {
  local from=1 seed said
  while [ "$from" -le "$max" ]; do
    seeds "$work/build/tests/sim/kaelix-sim" "$from" $((max - from + 1)) && break
    from=$((max + 1))
    cp "$work/seeds.log" "$work/found.log"
    for seed in $(failed_seeds); do
      from=$((seed + 1))
      seeds "$work/whole" "$seed" 1 || continue # it fails without the patch, too
      said=$(sed -n "s/^FAIL seed $seed\( at [^:]*\)\{0,1\}: //p" "$work/found.log" | head -n 1)
      printf 'found  %-28s seed %3s: %s\n' "$1" "$seed" "$said"
      return 0
    done
  done
  printf 'MISSED %-28s not found by %s seeds\n' "$1" "$max"
  return 1
}

prepare() {
  mkdir "$work/tree" || return 1
  tar -c --exclude='./build*' --exclude=./.git . | tar -x -C "$work/tree" || return 1
  run meson setup "$work/build" "$work/tree" -Ddpdk=disabled -Dbench=false -Ddocs=false -Dlto=false \
    -Dbuildtype=release -Dwerror=true >"$work/build.log" 2>&1 || return 1
  build
}

if ! prepare; then
  tail -n 40 "$work/build.log"
  exit 1
fi
cp "$work/build/tests/sim/kaelix-sim" "$work/whole" || exit 1

export GIT_CEILING_DIRECTORIES=$work # the copy is no repository
found=0
broken=0
for name in "${names[@]}"; do
  patch=$root/tests/sim/mutants/$name.patch
  if ! (cd "$work/tree" && git apply -p1 -C1 "$patch") >"$work/build.log" 2>&1; then
    printf 'ERROR  %-28s does not apply\n' "$name"
    sed 's/^/      | /' "$work/build.log"
    broken=1
    continue
  fi
  if build; then
    find_mutant "$name" && found=$((found + 1))
  else
    printf 'ERROR  %-28s does not compile\n' "$name"
    grep -E 'error|warning' "$work/build.log" | head -n 20 | sed 's/^/      | /'
    broken=1
  fi
  (cd "$work/tree" && git apply -p1 -C1 -R "$patch") >"$work/build.log" 2>&1 || exit 1
done
echo "${#names[@]} mutants, $found found"
[ "$broken" -eq 0 ] && [ "$found" -eq ${#names[@]} ]
