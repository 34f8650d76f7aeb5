#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The scripts that users call: --help is their head comment and nothing else, a bad argument is named with its reason.
set -u
cd "$(dirname "$0")/.." || exit 2

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
fail() {
  echo "FAIL: $*"
  exit 1
}
# refused TEXT SCRIPT ARG...
refused() {
  local text=$1 rc=0
  shift
  timeout 20 bash "$@" >"$dir/out" 2>"$dir/err" </dev/null || rc=$?
  [ $rc = 2 ] || fail "$*: exit $rc, not 2"
  [ ! -s "$dir/out" ] || fail "$*: it began: $(cat "$dir/out")"
  [ "$(wc -l <"$dir/err")" = 1 ] || fail "$*: not one line: $(cat "$dir/err")"
  grep -qF -e "$text" "$dir/err" || fail "$*: $(cat "$dir/err")"
}

for script in bench/*.sh tests/sim/mutants.sh tests/sim/run.sh tools/quickstart.sh tools/test.sh; do
  timeout 20 bash "$script" --help >"$dir/out" 2>"$dir/err" </dev/null || fail "$script --help: exit $?"
  [ ! -s "$dir/err" ] || fail "$script --help: on standard error: $(cat "$dir/err")"
  # the comment at its head, from its third line on, and no line of the script
  cmp -s "$dir/out" <(tail -n +3 "$script" | sed '/^#/!Q' | sed 's/^# \{0,1\}//') || fail "$script --help: $(cat "$dir/out")"
  grep -q -e "$script" "$dir/out" || fail "$script --help does not say how it is called"
  refused "--foo: no such option" "$script" --foo bar
  refused "--foo: no such option" "$script" --foo
done
json=$dir/result.json
for script in bench/*.sh; do
  refused "--json: is needed" "$script"
  refused "--json: needs a value" "$script" --json
  refused "${script##*/}: --json $dir/no/such: cannot be written: No such file or directory" "$script" --json "$dir/no/such"
  refused "--json $dir: cannot be written: Is a directory" "$script" --json "$dir"
done
refused "quickstart.sh: --json $dir/no/such: cannot be written: No such file" tools/quickstart.sh --json "$dir/no/such"
refused "--repeats -3: a whole number from 1" bench/micro.sh --json "$json" --repeats -3
refused "--only foo: one of slow-consumer" bench/isolation.sh --json "$json" --only foo
refused "--pairs 1: a whole number from 7" bench/isolation.sh --json "$json" --pairs 1
refused "--batch 12: a whole number from 13 to 17" bench/loss.sh --json "$json" --batch 12
refused "--rate-fraction 2: a fraction" bench/loss.sh --json "$json" --rate-fraction 2
refused "--pairs 19: a whole number from 20" bench/pairs.sh --json "$json" --pairs 19
refused "--parts nic: a list of" bench/pairs.sh --json "$json" --parts nic
refused "--pairs x: a whole number from 7" bench/wire_ratio.sh --json "$json" --pairs x
refused "--sessions 0: a whole number from 1" bench/setup.sh --json "$json" --sessions 0
refused "--jobs 0: a whole number from 1 to 256" tests/sim/mutants.sh --jobs 0
refused "--seeds abc: a whole number from 1" tests/sim/run.sh --seeds abc
refused "--seeds: needs a value" tests/sim/run.sh --seeds
refused "--seeds: is needed" tests/sim/run.sh --seconds 5
refused "--seeds: one --seed N or --seeds N is needed, not both" tests/sim/run.sh --seed 3 --seeds 3
refused "--from: goes with --seeds N only" tests/sim/run.sh --seed 3 --from 2
refused "--trace: goes with --seed N only" tests/sim/run.sh --seeds 3 --trace
refused "--jobs 65: a whole number from 1 to 64" tests/sim/run.sh --seeds 3 --jobs 65
refused "--seconds 0: a number above 0" tools/quickstart.sh --seconds 0
# A result that is there stays until there is another.
echo precious >"$dir/old.json"
for script in bench/*.sh; do
  grep -q -e --build "$script" || continue
  timeout 60 bash "$script" --json "$dir/old.json" --build "$dir/nothing" >"$dir/out" 2>&1 </dev/null && fail "$script: ran without a build"
  [ "$(cat "$dir/old.json")" = precious ] || fail "$script: destroyed a result without having another: $(cat "$dir/out")"
  timeout 60 bash "$script" --json "$json" --build "$dir/nothing" >"$dir/out" 2>&1 </dev/null && fail "$script: ran without a build"
done
[ ! -e "$json" ] || fail "a result file of a run that never was"
echo "args: all as it should be"
