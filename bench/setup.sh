#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# How long it takes to set a session up, beside what an echo takes on the same wire:
#   bench/setup.sh --json FILE [--sessions N] [--rounds N] [--build DIR]
#
# One memif wire, one generator; its peer is in turn testpmd macswap (one frame of HELLO's size on the way at a time: the echo
# baseline) and the broker, to which N (2000) sessions are opened one after another, as anonymous and as a principal with a
# key; ROUNDS (3) times. FILE gets, by row (`anonymous`, `key`, `ping`), the medians over the rounds of p50 and p99 from HELLO to
# ACCEPT, which is two round trips and the broker's work (`ping`: of a PING, one round trip), those of the echo of the same round,
# and the ratios to it. Exit 1: p99 of a set-up is over 100 us (printed); 2: could not run.
set -u
cd "$(dirname "$0")/.." || exit 2
json=
sessions=2000
rounds=3
build=$PWD/build

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin bench/setup.sh "$@"
while [ $# -gt 0 ]; do
  args_value "$@"
  case $1 in
    --json) json=$2 ;;
    --sessions) sessions=$2 ;;
    --rounds) rounds=$2 ;;
    --build) build=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
[ -n "$json" ] || args_wrong --json "is needed"
args_number --sessions "$sessions" 1
args_number --rounds "$rounds" 1
json=$(args_output --json "$json") || exit 2

# shellcheck source=bench/lib/rig.sh
. bench/lib/rig.sh
rig_begin setup "$build"
RIG_QUIET=1
RIG_CONFIG=$RIG_TMP/kaelix.ini
"$build/app/cli/kaelix-cli" keygen "$RIG_TMP/key" || rig_die "no key"
{
  cat config/kaelix.ini
  printf '\n[principal setup]\nkey_file = %s\nproduce = *\nconsume = *\n' "$RIG_TMP/key"
} >"$RIG_CONFIG"

for ((i = 1; i <= rounds; i++)); do
  rig_run testpmd "$RIG_TMP/echo.$i.json" --mode echo --frame-bytes 554 --window 1 --seconds 1 --warmup 0.5 || true
  [ -s "$RIG_TMP/echo.$i.json" ] || rig_die "no result"
  rig_run kaelix "$RIG_TMP/anonymous.$i.json" --mtu 1400 --setup "$sessions" || rig_die "set-up failed"
  rig_run kaelix "$RIG_TMP/key.$i.json" --mtu 1400 --setup "$sessions" --principal setup --key-file "$RIG_TMP/key" ||
    rig_die "set-up with a key failed"
done
python3 bench/lib/setup.py "$RIG_TMP" "$rounds" "$json"
