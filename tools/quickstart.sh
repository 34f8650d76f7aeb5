#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# See Kaelix run, from a clean Debian 12 as root: tools/quickstart.sh [--json FILE] [--seconds N]
#
# Installs what is missing, builds build/, reserves hugepages where the machine allows it (else goes on without),
# starts a broker and a generator as two processes on a memif wire, measures throughput and latency with every message
# verified, and the same wire with testpmd as a plain reflector beside it. N: measured seconds of each run (5). Leaves
# nothing running or reserved; installed packages and build/ stay. Exit 0: all ran, nothing was lost.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD
json=
seconds=5

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin tools/quickstart.sh "$@"
while [ $# -gt 0 ]; do
  case $1 in
    --json | --seconds)
      args_value "$@"
      [ "$1" = --json ] && json=$2 || seconds=$2
      shift
      ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift
done
args_positive --seconds "$seconds"
if [ -n "$json" ]; then
  json=$(args_output --json "$json") || exit 2
fi

# shellcheck source=bench/lib/rig.sh
. bench/lib/rig.sh

step() {
  printf '\n== %s\n' "$*"
}

step "packages"
bash tools/deps.sh || exit 2
echo "all there"

step "build"
if [ ! -f build/build.ninja ]; then
  meson setup build >/dev/null || exit 2
fi
meson compile -C build kaelix:executable kaelix-pktgen kaelix-cli kaelix:shared_library || exit 2

step "memory"
rig_begin quick "$root/build"
if [ "$RIG_HUGE" = 1 ]; then
  echo "hugepages are used; the broker is a zero-copy memif client"
else
  echo "no hugepages: everything runs from ordinary memory, and the memif wire copies on both sides"
fi
if [ "$(nproc)" -lt 2 ]; then
  echo "one CPU only: broker and generator take turns on it, the figures say little"
  RIG_CPU_PEER=0
fi

RIG_CONFIG=$root/config/kaelix.ini
clean=0
# scenario NAME PEER ARG...
scenario() {
  local name=$1 peer=$2
  shift 2
  # What a plain reflector loses when it is held up is its own affair; it is printed.
  rig_run "$peer" "$RIG_TMP/$name.json" --seconds "$seconds" --mtu 1400 "$@" || [ "$peer" = testpmd ] || clean=1
}

step "throughput: 64 B messages, 17 a frame, as fast as credit allows; publish, store in memory, deliver, verify"
scenario throughput kaelix --name throughput
frame_bytes=218
step "echo: the wire alone, $frame_bytes B frames at 1 M/s, testpmd macswap as reflector"
scenario echo testpmd --mode echo --name echo --rate 1M --frame-bytes $frame_bytes
step "latency: 64 B messages, one a frame, 1 M/s on an open-loop schedule"
scenario latency kaelix --name latency --rate 1M --batch 1
step "echo once more"
scenario echo_after testpmd --mode echo --name echo_after --rate 1M --frame-bytes $frame_bytes

step "result"
python3 bench/lib/stats.py merge "$RIG_TMP/all.json" "$RIG_TMP/throughput.json" "$RIG_TMP/echo.json" \
  "$RIG_TMP/latency.json" "$RIG_TMP/echo_after.json" || exit 2
python3 bench/lib/stats.py table "$RIG_TMP/all.json" || exit 2
[ -z "$json" ] || cp "$RIG_TMP/all.json" "$json" || exit 2

cat <<'END'

What to try next
  kaelix with your own settings       cp config/kaelix.ini my.ini; build/app/broker/kaelix -- --config my.ini --check
  more load shapes                    build/app/pktgen/kaelix-pktgen --help
  what the broker is doing            dpdk-telemetry.py -f PREFIX, then /kaelix/info (doc/telemetry.md)
  a figure that can be compared       bench/wire_ratio.sh --json ratio.json (doc/performance.md)
END
exit $clean
