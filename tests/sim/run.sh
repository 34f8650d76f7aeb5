#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The deterministic simulator, on all CPUs (doc/testing.md):
#   tests/sim/run.sh --seeds N [--from S]         N seeds from S (1) on; last line `N seeds, 0 failed`;
#                                                 exit 1 too when the line before names what must occur and never
#                                                 did, as with few seeds (--no-coverage: only the seeds count)
#   tests/sim/run.sh --seed N [--trace]           one seed; its trace hash, or what went wrong
# Other options of kaelix-sim are passed on. It is built in build-sim/ (KX_SIM_BUILD); KX_SIM names a program that is
# there already.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${KX_SIM_BUILD:-build-sim}
sim=${KX_SIM:-$build/tests/sim/kaelix-sim}

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
exec "$sim" "$@"
