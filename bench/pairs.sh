#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Is the current revision slower than its parent?
#   bench/pairs.sh --json FILE [--parent REV] [--current REV] [--pairs N] [--seconds S] [--parts LIST]
#
# Builds both revisions (default: 9fd40f3, the first slice, and HEAD) in a temporary folder, which is removed, and runs at
# least 20 (default) interleaved pairs, order ABBA, of each part in LIST (default rig,micro,callgrind):
#   rig        the memif rig of bench/wire_ratio.sh, S (1) measured seconds a run, plain frames of 17 messages (`full`) and
#              of one (`single`); each revision has its own broker, generator and ini
#   micro      bench/micro_broker of each revision, 17 messages a frame and one, cut-through and copied
#   callgrind  instructions a message of micro_broker in builds for x86-64-v2: the witness that no noise reaches
# A ratio is current/parent in speed, the median of the pairs with its bootstrap 95 % interval. `slower`: the interval
# lies wholly below 0.97; `no slower`: wholly at or above 0.97; else `cannot tell`. Exit 1: a part is slower, or the rig
# lost something; 2: could not run.
set -u
cd "$(dirname "$0")/.." || exit 2
json=
parent=9fd40f3
current=HEAD
pairs=20
seconds=1
parts=rig,micro,callgrind

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin bench/pairs.sh "$@"
while [ $# -gt 0 ]; do
  args_value "$@"
  case $1 in
    --json) json=$2 ;;
    --parent) parent=$2 ;;
    --current) current=$2 ;;
    --pairs) pairs=$2 ;;
    --seconds) seconds=$2 ;;
    --parts) parts=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
[ -n "$json" ] || args_wrong --json "is needed"
args_number --pairs "$pairs" 20
args_positive --seconds "$seconds"
[[ $parts =~ ^(rig|micro|callgrind)(,(rig|micro|callgrind))*$ ]] || args_wrong "--parts $parts" "a list of rig, micro and callgrind is needed"
json=$(args_output --json "$json") || exit 2
part() {
  [[ ,$parts, == *,$1,* ]]
}

tmp=$(mktemp -d) || exit 2
# shellcheck disable=SC2317 # called by the traps
clean_up() {
  rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

declare -A commit
for side in parent current; do
  commit[$side]=$(git rev-parse --verify --quiet "${!side}^{commit}") || {
    echo "pairs.sh: no revision ${!side}" >&2
    exit 2
  }
  mkdir "$tmp/$side"
  git archive "${commit[$side]}" | tar -x -C "$tmp/$side" || exit 2
  # The number of rounds is a constant of the program; under callgrind fewer must do.
  sed -i 's/^#define BURSTS_PER_ROUND .*/#define BURSTS_PER_ROUND (getenv("KX_BURSTS") ? (unsigned int)atoi(getenv("KX_BURSTS")) : 20000u)/' \
    "$tmp/$side/bench/micro_broker.c"
done

# make_build SIDE FOLDER TARGETS... -- OPTIONS...
make_build() {
  local side=$1 folder=$2 targets=()
  shift 2
  while [ "$1" != -- ]; do
    targets+=("$1")
    shift
  done
  shift
  echo "building $side ${commit[$side]:0:7}, $folder"
  if ! { meson setup "$tmp/$side/$folder" "$tmp/$side" -Dtests=false -Ddocs=false "$@" &&
    ninja -C "$tmp/$side/$folder" ${targets[@]+"${targets[@]}"}; } >"$tmp/build.log" 2>&1; then
    tail -n 20 "$tmp/build.log" >&2
    exit 2
  fi
}
for side in parent current; do
  if part rig; then
    make_build $side build --
  elif part micro; then
    make_build $side build bench/micro_broker -- -Ddpdk=disabled
  fi
  ! part callgrind || make_build $side v2 bench/micro_broker -- -Ddpdk=disabled -Dmarch=x86-64-v2
done

order() {
  if [ $(($1 % 2)) = 1 ]; then echo "parent current"; else echo "current parent"; fi
}

if part micro; then
  for ((pair = 1; pair <= pairs; pair++)); do
    for messages in 17 1; do
      for side in $(order $pair); do
        KX_BURSTS=2000 "$tmp/$side/build/bench/micro_broker" $messages 64 >"$tmp/micro.$messages.$pair.$side" || exit 2
      done
    done
    echo "micro: pair $pair of $pairs"
  done
fi

if part callgrind; then
  command -v valgrind >/dev/null || {
    echo "pairs.sh: no valgrind (tools/deps.sh installs it)" >&2
    exit 2
  }
  for messages in 17 1; do
    for side in parent current; do
      for bursts in 10 160; do
        KX_BURSTS=$bursts valgrind --tool=callgrind --callgrind-out-file=/dev/null "$tmp/$side/v2/bench/micro_broker" \
          $messages 64 >"$tmp/log" 2>&1 || {
          tail -n 3 "$tmp/log" >&2
          exit 2
        }
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$tmp/log" >"$tmp/callgrind.$messages.$bursts.$side"
      done
    done
    echo "callgrind: $messages messages a frame"
  done
fi

wrong=0
if part rig; then
  # shellcheck source=bench/lib/rig.sh
  . bench/lib/rig.sh
  # shellcheck disable=SC2317 # called by rig_end
  rig_after() {
    clean_up
  }
  rig_begin pairs "$tmp/parent/build"
  [ "$RIG_HUGE" = 1 ] || echo "no hugepages: the peer is no zero-copy client; the figures are of another wire"
  RIG_QUIET=1
  for ((pair = 1; pair <= pairs; pair++)); do
    for shape in full single; do
      batch=17
      [ $shape = full ] || batch=1
      for side in $(order $pair); do
        # shellcheck disable=SC2034 # read by rig.sh
        RIG_BUILD=$tmp/$side/build
        # shellcheck disable=SC2034
        RIG_CONFIG=$tmp/$side/config/kaelix.ini
        rig_run kaelix "$tmp/rig.$shape.$pair.$side" --seconds "$seconds" --mtu 1400 --batch $batch || wrong=1
      done
    done
    echo "rig: pair $pair of $pairs"
  done
fi
python3 bench/lib/pairs.py "$tmp" "$json" "$pairs" "${commit[parent]}" "${commit[current]}" || wrong=$?
exit $wrong
