#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A seed does the same twice: the hash over all events, datagrams and results of two runs is one. And one seed
# says in its last line that it passed and in the line before, as in its exit code, that it does not reach everything.
#   tests/sim/same.sh [SEED...]
set -u
cd "$(dirname "$0")/../.." || exit 2
[ $# -gt 0 ] || set -- 7 18 19 23 24
for seed in "$@"; do
  one=$(./tests/sim/run.sh --seed "$seed") || exit 1
  two=$(./tests/sim/run.sh --seed "$seed" | cat) || exit 1
  echo "$one"
  if [ "$one" != "$two" ]; then
    echo "and the second time: $two"
    exit 1
  fi
done
out=$(./tests/sim/run.sh --seeds 1 --from "$1")
if [ $? != 1 ] || [ "$(tail -n 1 <<<"$out")" != "1 seeds, 0 failed" ] ||
  [[ $(tail -n 2 <<<"$out") != *" things must occur and never did: "* ]]; then
  echo "--seeds 1 ends with: $(tail -n 2 <<<"$out")"
  exit 1
fi
if ! out=$(./tests/sim/run.sh --seeds 1 --from "$1" --no-coverage) || [ "$out" != "1 seeds, 0 failed" ]; then
  echo "--seeds 1 --no-coverage: $out"
  exit 1
fi
