#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What random loss costs:
#   bench/loss.sh --json FILE [--seconds N] [--rounds N] [--rate-fraction F] [--batch N] [--build DIR]
#
# Broker and generator over one memif wire. First the loss-free rate, closed loop (median of three runs). Then F (0.9) of it, open
# loop, with no loss, 0.1 %, 1 % and 5 % of the frames lost in each direction (the broker's --impair, seeded), ROUNDS (5)
# times in turn, N (2) measured seconds each. FILE gets, by loss, the medians of: goodput_ratio (messages delivered a second,
# over those of the run without loss in the same round), and retransmitted_per_lost (frames with data sent again
# over those that the broker's --impair counted as lost, both directions together). Frames with data are told by their size:
# --batch N (17) messages a frame, 13 at least.
# Exit 1: a target was missed (printed), or a message was lost, repeated, out of order or corrupt; 2: could not run.
set -u
cd "$(dirname "$0")/.." || exit 2
json=
seconds=2
rounds=5
fraction=0.9
batch=17
build=$PWD/build
losses=(0 0.001 0.01 0.05)

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin bench/loss.sh "$@"
while [ $# -gt 0 ]; do
  args_value "$@"
  case $1 in
    --json) json=$2 ;;
    --seconds) seconds=$2 ;;
    --rounds) rounds=$2 ;;
    --rate-fraction) fraction=$2 ;;
    --batch) batch=$2 ;;
    --build) build=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
[ -n "$json" ] || args_wrong --json "is needed"
args_number --rounds "$rounds" 1
args_number --batch "$batch" 13 17
args_positive --seconds "$seconds"
[[ $fraction =~ ^0?\.[0-9]+$ ]] || args_wrong "--rate-fraction $fraction" "a fraction such as 0.9 is needed"
json=$(args_output --json "$json") || exit 2

# shellcheck source=bench/lib/rig.sh
. bench/lib/rig.sh
# shellcheck disable=SC2317 # called by rig_run
rig_measured() {
  python3 bench/lib/loss.py counters "$1" "$2.broker" || rig_die "the broker's counters could not be read"
}
rig_begin loss "$build"
RIG_CONFIG=$PWD/config/kaelix.ini
RIG_QUIET=1

# one FILE LOSS SEED ARG...: what is slow to arrive is waited for.
one() {
  local file=$RIG_TMP/$1.json loss=$2 seed=$3
  shift 3
  RIG_BROKER_ARGS=()
  [ "$loss" = 0 ] || RIG_BROKER_ARGS=(--impair "rx:loss=$loss,seed=$seed" --impair "tx:loss=$loss,seed=$((seed + 1000))")
  rig_run kaelix "$file" --seconds "$seconds" --mtu 1400 --batch "$batch" --late-ms 60000 --drain-ms 20000 "$@" || true
  [ -s "$file" ] || rig_die "no result"
  printf '%-12s loss %-6s %14.0f messages/s\n' "$(basename "$file" .json)" "$loss" \
    "$(python3 bench/lib/stats.py get "$file" messages_per_s)"
}

limits=()
for ((i = 1; i <= 3; i++)); do
  one "limit.$i" 0 0 --rate max
  limits+=("$RIG_TMP/limit.$i.json")
done
rate=$(python3 bench/lib/loss.py rate "$fraction" "${limits[@]}") || exit 2
echo "offered: $rate messages/s"
for ((i = 1; i <= rounds; i++)); do
  for loss in "${losses[@]}"; do
    one "$loss.$i" "$loss" "$((i * 10))" --rate "$rate"
  done
done
python3 bench/lib/loss.py table "$RIG_TMP" "$rounds" "$fraction" "$json" "${losses[@]}"
