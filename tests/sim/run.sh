#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The deterministic simulator, on all CPUs (doc/testing.md):
#   tests/sim/run.sh --seeds N [--from S] [--jobs J] [--first] [--no-coverage]
#                                                 N seeds from S (1) on, J (a CPU each) at once, until the first that
#                                                 fails with --first; last line `N seeds, 0 failed`; exit 1 too when
#                                                 the line before names what must occur and never did, as with few
#                                                 seeds (--no-coverage: only the seeds count)
#   tests/sim/run.sh --seed N [--trace]           one seed; its trace hash, or what went wrong
#   --seconds S                                   of simulated time a seed (60)
# It is built in build-sim/ (KX_SIM_BUILD); KX_SIM names a program that is
# there already.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${KX_SIM_BUILD:-build-sim}
sim=${KX_SIM:-$build/tests/sim/kaelix-sim}
. tools/args.sh

args_begin "$0" "$@"
args=("$@")
mode=
many=
single=
while [ $# -gt 0 ]; do
  case $1 in
    --seed | --seeds | --from | --seconds | --jobs)
      args_value "$@"
      min=1
      max=
      [ "$1" != --seed ] && [ "$1" != --from ] || min=0
      [ "$1" != --jobs ] || max=64
      args_number "$1" "$2" $min $max
      ;;&
    --seed | --seeds)
      [ -z "$mode" ] || args_wrong "$1" "one --seed N or --seeds N is needed, not both"
      mode=$1
      ;;
    --from | --jobs | --first | --no-coverage) many=$1 ;;
    --trace) single=$1 ;;
    --seconds) ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  case $1 in
    --seed | --seeds | --from | --seconds | --jobs) shift ;;
  esac
  shift
done
[ -n "$mode" ] || args_wrong --seeds "is needed, or --seed N"
[ -z "$many" ] || [ "$mode" = --seeds ] || args_wrong "$many" "goes with --seeds N only"
[ -z "$single" ] || [ "$mode" = --seed ] || args_wrong "$single" "goes with --seed N only"

if [ -z "${KX_SIM:-}" ]; then
  if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" -Ddpdk=disabled -Dbench=false -Ddocs=false -Dlto=false -Dbuildtype=release \
      -Dwarning_level=0 >"$build.log" 2>&1 || {
      cat "$build.log"
      exit 1
    }
    rm -f "$build.log"
  fi
  log=$(ninja -C "$build" tests/sim/kaelix-sim 2>&1) || {
    printf '%s\n' "$log" | tail -n 40
    exit 1
  }
fi
exec "$sim" "${args[@]}"
