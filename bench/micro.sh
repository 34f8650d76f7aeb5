#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What single steps cost, in ns:
#   bench/micro.sh --json FILE [--repeats N] [--build DIR] [--no-instructions]
#
# Runs the programs bench/micro_*.c whose lines are `name ns` (their head comments say so), each N (default 7) times and
# interleaved; a row is the median of its runs, with a bootstrap 95 % interval. Where valgrind is there, a build for
# x86-64-v2 (the CPU that callgrind knows) in a temporary folder counts the instructions of each row of the programs that
# take `--count NAME N`: they are the same on a busy machine. A row whose program does not exist is not there. FILE is
# {"schema":1,"rows":[{"name":...,"ns":...,"ns_ci95":[...],"instructions":...}],...}. Exit 2: could not run.
set -u
cd "$(dirname "$0")/.." || exit 2
json=
repeats=7
build=$PWD/build
count=yes

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin bench/micro.sh "$@"
while [ $# -gt 0 ]; do
  case $1 in
    --no-instructions)
      count=
      shift
      continue
      ;;
  esac
  args_value "$@"
  case $1 in
    --json) json=$2 ;;
    --repeats) repeats=$2 ;;
    --build) build=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
[ -n "$json" ] || args_wrong --json "is needed"
args_number --repeats "$repeats" 1
json=$(args_output --json "$json") || exit 2

programs=()
for source in bench/micro_*.c; do
  # shellcheck disable=SC2016 # the backquotes are in the text
  grep -q '`name ns`' "$source" || continue
  source=${source##*/}
  programs+=("${source%.c}")
done
for program in "${programs[@]}"; do
  if [ ! -x "$build/bench/$program" ]; then
    echo "micro.sh: no $program in $build/bench; meson setup build && ninja -C build" >&2
    exit 2
  fi
done

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for ((i = 1; i <= repeats; i++)); do
  for program in "${programs[@]}"; do
    if ! "$build/bench/$program" >"$tmp/$program.$i.rows"; then
      echo "micro.sh: $program failed" >&2
      exit 2
    fi
  done
done

# Instructions of a run of N operations of a row.
instructions_of() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" --count "$2" "$3" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

if [ -n "$count" ] && command -v valgrind >/dev/null; then
  counted=()
  for program in "${programs[@]}"; do
    ! grep -q -e '--count' "bench/$program.c" || counted+=("bench/$program")
  done
  if meson setup "$tmp/v2" -Dmarch=x86-64-v2 -Ddpdk=disabled -Dtests=false -Ddocs=false >"$tmp/log" 2>&1 &&
    ninja -C "$tmp/v2" "${counted[@]}" >>"$tmp/log" 2>&1; then
    for program in "${counted[@]}"; do
      while read -r name _; do
        [[ $name =~ ^[a-z][a-z0-9_]*$ ]] || continue
        few=$(instructions_of "$tmp/v2/$program" "$name" 1700)
        many=$(instructions_of "$tmp/v2/$program" "$name" 18700)
        [ -z "$few" ] || [ -z "$many" ] || echo "$name $(((many - few) * 10 / 17000))" >>"$tmp/instructions"
      done <"$tmp/${program#bench/}.1.rows"
    done
  else
    tail -n 5 "$tmp/log" >&2
    echo "micro.sh: no build for callgrind; instructions are left out" >&2
  fi
fi
python3 bench/lib/micro.py "$tmp" "$json" "$repeats"
