#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Build everything and run all tests, from a clean Debian 12 as root:
#   tools/test.sh [--lint] [--unit] [--fuzz] [--smoke] [--only PATTERN]
# Without parts: --unit --fuzz --smoke. PATTERN is an extended regular expression over names as printed, such as
# 'unit/hist' or 'smoke/'. FUZZ_SECONDS (30) is the time for each fuzz target. One line a test; the last line is
# `N passed, N failed, N skipped`; exit 1 when any failed. Logs are in build/test-logs/.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD
# shellcheck source=tools/hugepages.sh
. tools/hugepages.sh

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin tools/test.sh "$@"

parts=
only=.
while [ $# -gt 0 ]; do
  case $1 in
    --lint | --unit | --fuzz | --smoke) parts="$parts ${1#--}" ;;
    --only)
      args_value "$@"
      only=$2
      shift
      ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift
done
[ -n "$parts" ] || parts=" unit fuzz smoke"

passed=0
failed=0
skipped=0
matched=0
child=
logs=$root/build/test-logs

finish() {
  local rc=$?
  trap '' INT TERM
  trap - EXIT
  if [ -n "$child" ]; then
    kill -TERM -- "-$child" 2>/dev/null
    wait "$child" 2>/dev/null
  fi
  hugepages_restore
  exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

selected() {
  [[ $1 =~ $only ]]
}

# run COMMAND...: in a process group of its own and waited for, so that a signal ends all of it at once.
run() {
  set -m
  "$@" </dev/null 9>&- &
  child=$!
  set +m
  wait "$child"
  local rc=$?
  child=
  return $rc
}

# verdict NAME RC SECONDS LOG: count it and print its line; the end of the log when it failed.
verdict() {
  ! selected "$1" || matched=1
  case $2 in
    0)
      passed=$((passed + 1))
      printf 'PASS  %-36s %6s s\n' "$1" "$3"
      ;;
    77)
      skipped=$((skipped + 1))
      printf 'SKIP  %-36s %s\n' "$1" "$(grep -v '^[[:space:]]*$' "$4" | tail -n 1)"
      ;;
    *)
      failed=$((failed + 1))
      printf 'FAIL  %-36s %6s s, exit %s; the end of %s:\n' "$1" "$3" "$2" "${4#"$root"/}"
      tail -n 60 "$4" | sed 's/^/      | /'
      ;;
  esac
}

# step NAME COMMAND...: one test. Returns its exit status.
step() {
  local name=$1 log begin=$SECONDS rc
  shift
  log=$logs/${name//\//-}.log
  run "$@" >"$log" 2>&1
  rc=$?
  verdict "$name" "$rc" $((SECONDS - begin)) "$log"
  return $rc
}

# build_tree DIR MESON_OPTION...: set up (again, should the options differ) and build.
build_tree() {
  local dir=$1
  shift
  if [ -f "$dir/build.ninja" ]; then
    meson setup --reconfigure "$dir" "$@" || return 1
  else
    meson setup "$dir" "$@" || return 1
  fi
  ninja -C "$dir"
}

build_clang() {
  CC=clang-14 build_tree build-clang -Dwerror=true -Ddocs=false
}

build_asan() {
  # ISA-L and libcrypto are not instrumented; -O1 keeps the tests quick and the stacks readable.
  build_tree build-asan -Dwerror=true -Ddpdk=disabled -Dbench=false -Ddocs=false -Dbuildtype=debugoptimized \
    -Db_sanitize=address,undefined -Dc_args=-fno-sanitize-recover=undefined
}

# unit_tests DIR PREFIX MULTIPLIER: the meson tests of a build, a line each as they end.
unit_tests() {
  local dir=$1 prefix=$2 names=() name log
  while read -r name; do
    name=${name##* / }
    ! selected "$prefix/$name" || names+=("$name")
  done < <(meson test -C "$dir" --no-rebuild --list 2>/dev/null)
  [ ${#names[@]} -gt 0 ] || return 0
  log=$dir/meson-logs/kx.json
  rm -f "$log"
  run meson test -C "$dir" --no-rebuild --logbase kx --timeout-multiplier "$3" "${names[@]}" >"$logs/$prefix.log" 2>&1
  if [ ! -f "$log" ]; then
    verdict "$prefix" 1 0 "$logs/$prefix.log"
    return
  fi
  while IFS=$'\t' read -r name rc seconds; do
    verdict "$prefix/$name" "$rc" "$seconds" "$logs/$prefix-$name.log"
  done < <(python3 tools/meson_results.py "$log" "$logs/$prefix-")
}

asan_selected() {
  local source
  selected build/asan && return
  for source in tests/unit/test_*.c; do
    source=${source##*/test_}
    selected "unit-asan/${source%.c}" && return
  done
  return 1
}

# The simulator: the program of the build, so that it is not built again. SIM_SEEDS is how many seeds. Three of the
# mutants, or all when they are asked for by name.
run_sim() {
  export KX_SIM=$root/build/tests/sim/kaelix-sim
  ! selected sim/seeds || step sim/seeds tests/sim/run.sh --seeds "${SIM_SEEDS:-300}"
  ! selected sim/same || step sim/same tests/sim/same.sh
  unset KX_SIM
  if [ "$only" = . ]; then
    step sim/mutants tests/sim/mutants.sh --some 3
  elif selected sim/mutants; then
    step sim/mutants tests/sim/mutants.sh
  fi
}

run_unit() {
  export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
  unit_tests build unit 1
  run_sim
  if asan_selected && step build/asan build_asan; then
    unit_tests build-asan unit-asan 4
  fi
  ! selected build/clang || step build/clang build_clang
}

run_fuzz() {
  local name fuzz_names=()
  for name in tests/fuzz/fuzz_*.c; do
    [ -f "$name" ] || continue
    name=${name##*/fuzz_}
    name=${name%.c}
    ! selected "fuzz/$name" || fuzz_names+=("$name")
  done
  [ ${#fuzz_names[@]} -gt 0 ] || return 0
  step build/fuzz tests/fuzz/run.sh --build || return 0
  for name in "${fuzz_names[@]}"; do
    step "fuzz/$name" tests/fuzz/run.sh "$name"
  done
}

# One smoke script under its time limit, then an independent look for what it left.
smoke_script() {
  local script=$1 limit rc
  export KX_ID=kx${BASHPID}x
  limit=$(sed -n '1,20s/^# timeout: \([0-9][0-9]*\)$/\1/p' "$script" | head -n 1)
  # A process group of its own: at the limit, or on TERM, all of it is signalled.
  timeout --kill-after=30 "${limit:-300}" bash "$script" &
  local pid=$!
  trap 'kill -TERM $pid 2>/dev/null' TERM INT
  while :; do
    wait $pid
    rc=$?
    kill -0 $pid 2>/dev/null || break
  done
  [ $rc -ne 124 ] || echo "over its time limit of ${limit:-300} s"
  # This shell was forked, so its own environment does not carry the id; a left-over's does.
  if ! env -u KX_ID bash tests/smoke/_leftovers.sh --clean "$KX_ID" >"$logs/leftovers.txt"; then
    cat "$logs/leftovers.txt"
    [ $rc -ne 0 ] && [ $rc -ne 77 ] || rc=1
  fi
  return $rc
}

run_smoke() {
  local script name
  hugepages_reserve 768
  export KX_BUILD=$root/build
  for script in tests/smoke/[!_]*.sh; do
    [ -f "$script" ] || continue
    name=${script##*/}
    name=smoke/${name%.sh}
    ! selected "$name" || step "$name" smoke_script "$script"
  done
}

begin=$SECONDS
tools/deps.sh || exit 1
mkdir -p "$logs"
exec 9>build/test-logs/lock
if ! flock -n 9; then
  echo "test.sh: another one runs in this tree" >&2
  exit 1
fi
for part in $parts; do
  case $part in
    lint) ! selected lint || step lint tools/lint.sh ;;
    unit | smoke)
      # Once: the programs that both need.
      if [ -z "${built:-}" ]; then
        if step build/gcc build_tree build -Dwerror=true; then built=yes; else built=no; fi
      fi
      [ "$built" = no ] || "run_$part"
      ;;
    fuzz) run_fuzz ;;
  esac
done
if [ $matched -eq 0 ]; then
  echo "no test of$parts is named like '$only'"
  failed=$((failed + 1))
fi
echo "took $((SECONDS - begin)) s; logs in build/test-logs/"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
