#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# How much of the wire is left when messages are published, stored and delivered instead of reflected:
#   bench/wire_ratio.sh --json FILE [--seconds N] [--pairs N] [--build DIR]
#
# One memif wire, one generator; its peer is in turn testpmd macswap (raw frames of exactly the size of Kaelix's
# produce frames) and the broker (64 B messages; `full`: 17 a frame, `single`: one). Order ABBA, at least 7 pairs
# (default 7) of N (2) measured seconds each. Kaelix frames are produce frames whose messages were all delivered and
# verified. FILE gets the median, the median ratio and its bootstrap 95 % interval. Exit 1: something was lost,
# duplicated, reordered or corrupt; 2: could not run.
set -u
cd "$(dirname "$0")/.." || exit 2
json=
seconds=2
pairs=7
build=$PWD/build

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin bench/wire_ratio.sh "$@"
while [ $# -gt 0 ]; do
  args_value "$@"
  case $1 in
    --json) json=$2 ;;
    --seconds) seconds=$2 ;;
    --pairs) pairs=$2 ;;
    --build) build=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
[ -n "$json" ] || args_wrong --json "is needed"
args_number --pairs "$pairs" 7
args_positive --seconds "$seconds"
json=$(args_output --json "$json") || exit 2

# shellcheck source=bench/lib/rig.sh
. bench/lib/rig.sh
rig_begin ratio "$build"
[ "$RIG_HUGE" = 1 ] || echo "no hugepages: neither peer is a zero-copy client; the figures are of another wire"
RIG_CONFIG=$PWD/config/kaelix.ini
RIG_QUIET=1

# one NAME PEER PAIR FRAME_BYTES ARG...
one() {
  local name=$1 peer=$2 pair=$3 frame_bytes=$4 file=$RIG_TMP/$1.$3.$2.json
  shift 4
  if [ "$peer" = testpmd ]; then
    rig_run testpmd "$file" --seconds "$seconds" --mode echo --frame-bytes "$frame_bytes" || true
  else
    rig_run kaelix "$file" --seconds "$seconds" --mtu 1400 "$@" || wrong=1
  fi
  printf '%-7s pair %2d  %-8s %12.0f frames/s\n' "$name" "$pair" "$peer" \
    "$(python3 bench/lib/stats.py get "$file" frames_per_s)"
}

# Ethernet, IPv4, UDP 42; KXP frame header 32; batch header 72; record 8 + 64.
wrong=0
for ((pair = 1; pair <= pairs; pair++)); do
  order="testpmd kaelix"
  [ $((pair % 2)) = 1 ] || order="kaelix testpmd"
  for peer in $order; do
    one full "$peer" $pair $((42 + 32 + 72 + 17 * 72)) --batch 17
  done
  for peer in $order; do
    one single "$peer" $pair $((42 + 32 + 72 + 72)) --batch 1
  done
done
python3 bench/lib/ratio.py "$RIG_TMP" "$json" "$pairs" || exit 2
exit $wrong
