#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tests/fuzz/run.sh [--build | TARGET...]: build the libFuzzer targets with ASan and UBSan (build-fuzz/) and run the
# given ones, all when none is given, for FUZZ_SECONDS (30) each, from the seeds in corpus/<target>/. A target fails
# when it finds something (the input is kept in build-fuzz/findings/) or when it covers fewer edges than
# coverage/<target>.min says.
set -u
cd "$(dirname "$0")/../.." || exit 2
build="build-fuzz"
seconds=${FUZZ_SECONDS:-30}

build_targets() {
  # shellcheck disable=SC2054 # the comma is meson's
  local options=(-Dwerror=true -Dfuzz=true -Ddpdk=disabled -Dbench=false -Ddocs=false -Dbuildtype=debugoptimized
    -Db_sanitize=address,undefined -Db_lundef=false
    "-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined")
  if [ -f $build/build.ninja ]; then
    meson setup --reconfigure $build "${options[@]}" || return 1
  else
    CC=clang-14 meson setup $build "${options[@]}" || return 1
  fi
  ninja -C $build fuzz-targets
}

run_target() {
  local name=$1 log covered least
  local program=$build/tests/fuzz/fuzz_$name
  [ -x "$program" ] || {
    echo "$name: not built; is it in tests/fuzz/meson.build?"
    return 1
  }
  least=$(grep -v '^#' "tests/fuzz/coverage/$name.min" 2>/dev/null)
  [[ $least =~ ^[0-9]+$ ]] || {
    echo "$name: tests/fuzz/coverage/$name.min does not hold a number of edges"
    return 1
  }
  [ -n "$(ls -A "tests/fuzz/corpus/$name" 2>/dev/null)" ] || {
    echo "$name: no seeds in tests/fuzz/corpus/$name/"
    return 1
  }
  mkdir -p $build/findings
  work=$(mktemp -d) || return 1
  log=$work/log.txt
  mkdir "$work/new" "$work/tmp"
  # New inputs go to the first folder: the seeds stay as they are.
  TMPDIR=$work/tmp "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$name-" "$work/new" "tests/fuzz/corpus/$name" >"$log" 2>&1 </dev/null &
  fuzzer=$!
  wait $fuzzer
  local rc=$?
  fuzzer=
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  if [ $rc -ne 0 ]; then
    tail -n 12 "$log"
    grep -m 1 -A 12 -E 'ERROR: |runtime error: ' "$log"
    echo "$name: exit $rc"
  elif [ "${covered:-0}" -lt "$least" ]; then
    echo "$name: covers ${covered:-0} edges, fewer than the $least recorded"
    rc=1
  else
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s," \
      "$covered edges (at least $least)"
  fi
  rm -rf "$work"
  return $rc
}

fuzzer=
work=
# shellcheck disable=SC2317 # called by the trap
finish() {
  [ -z "$fuzzer" ] || kill -TERM "$fuzzer" 2>/dev/null
  [ -z "$work" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 143' TERM INT

if [ "${1:-}" = --build ]; then
  build_targets
  exit
fi
if [ $# -eq 0 ]; then
  build_targets >/dev/null || exit 1
  for source in tests/fuzz/fuzz_*.c; do
    source=${source##*/fuzz_}
    set -- "$@" "${source%.c}"
  done
fi
failed=0
for target; do
  run_target "$target" || failed=1
done
exit $failed
