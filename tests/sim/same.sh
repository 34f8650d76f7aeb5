#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A seed does the same twice: the hash over all events, datagrams and results of two runs is one.
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
