#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Does a client that misbehaves slow the others down?
#   bench/isolation.sh --json FILE [--seconds N] [--pairs N] [--rate N] [--build DIR] [--only DISTURBANCE]
# DISTURBANCE: slow-consumer, dead-consumer, lying-consumer, nak-storm, handshake-flood or quota.
#
# A broker with two ports. The victim publishes and consumes RATE (50000) messages a second, one a frame, over memif from a
# process of its own; the disturber (bench/disturber) is a kernel host in a network namespace on the other port (veth,
# af_packet). For each disturbance at least 7 pairs (default 7) of N (5) seconds with it and without it, in ABBA order, a fresh
# broker each. Compared is the broker residence p99.9 of the victim's topic (/kaelix/topic/latency) and what was
# received. The second port is there in both. FILE gets, for each disturbance, the median ratio with its bootstrap 95 %
# interval and a verdict: "within" (upper bound <= 1.10), "over" (lower bound > 1.10), "cannot tell".
# Exit 1: a verdict is "over", or messages of the victim were lost, duplicated, reordered or corrupt; 2: could not run.
# Root only.
set -u
cd "$(dirname "$0")/.." || exit 2
json=
seconds=5
pairs=7
rate=50000
build=$PWD/build
only=

# shellcheck source=tools/args.sh
. tools/args.sh
args_begin bench/isolation.sh "$@"
while [ $# -gt 0 ]; do
  args_value "$@"
  case $1 in
    --json) json=$2 ;;
    --seconds) seconds=$2 ;;
    --pairs) pairs=$2 ;;
    --rate) rate=$2 ;;
    --build) build=$2 ;;
    --only) only=$2 ;;
    *) args_wrong "$1" "no such option" ;;
  esac
  shift 2
done
[ -n "$json" ] || args_wrong --json "is needed"
args_number --pairs "$pairs" 7
args_number --rate "$rate" 1
args_positive --seconds "$seconds"
names=(slow-consumer dead-consumer lying-consumer nak-storm handshake-flood quota)
if [ -n "$only" ]; then
  [[ " ${names[*]} " == *" $only "* ]] || args_wrong "--only $only" "one of ${names[*]} is needed"
  names=("$only")
fi
json=$(args_output --json "$json") || exit 2
build=$(realpath -m "$build")
[ -x "$build/bench/disturber" ] || {
  echo "isolation.sh: no bench/disturber in $build; meson setup build && ninja -C build" >&2
  exit 2
}
[ "$(id -u)" = 0 ] || {
  echo "isolation.sh: needs root (namespace, veth, af_packet)" >&2
  exit 2
}

# shellcheck source=bench/lib/rig.sh
. bench/lib/rig.sh
netns=
veth=
# shellcheck disable=SC2317 # called by rig_end
rig_after() {
  [ -z "$veth" ] || ip link del "$veth" 2>/dev/null
  [ -z "$netns" ] || ip netns del "$netns" 2>/dev/null
}
rig_begin iso "$build"

netns=$RIG_ID
ip netns add "$netns" || rig_die "no network namespace"
veth=kxi$$a
ip link add "$veth" type veth peer name "kxi$$b" || rig_die "no veth"
ip link set "kxi$$b" netns "$netns"
ethtool -K "$veth" tx off >/dev/null 2>&1
ip netns exec "$netns" ethtool -K "kxi$$b" tx off >/dev/null 2>&1
ip link set "$veth" up
ip -n "$netns" link set "kxi$$b" up
ip -n "$netns" addr add 10.78.0.2/24 dev "kxi$$b"

cat >"$RIG_TMP/isolation.ini" <<'INI'
[broker]
name = isolation
[lcores]
data = 1
[memory]
log_bytes = 64M
[sessions]
window_bytes = 256K
[port net_memif0]
address = 10.77.0.1/24
[port net_af_packet0]
address = 10.78.0.1/24
[topic quick]
partitions = 1
log_bytes = 32M
[topic limited]
partitions = 1
log_bytes = 16M
messages_per_s = 1000
INI
# shellcheck disable=SC2034 # rig.sh uses them
RIG_CONFIG=$RIG_TMP/isolation.ini
# shellcheck disable=SC2034
RIG_QUIET=1
# shellcheck disable=SC2034
RIG_BROKER_EAL=(--vdev "net_af_packet0,iface=$veth")

disturbance=none
out=

# Called by rig_run when the broker has been started: the disturber is its neighbour from then on.
# shellcheck disable=SC2317
rig_peer_started() {
  local partition=0
  [ "$disturbance" != none ] || return 0
  [ "$disturbance" != quota ] || partition=1
  taskset -c "$RIG_CPU_GEN" ip netns exec "$netns" timeout -k 2 $((${seconds%.*} + 30)) "$build/bench/disturber" \
    "$disturbance" 10.78.0.1 "$partition" $((${seconds%.*} + 20)) >"$RIG_TMP/disturber.log" 2>&1 <&9 &
  disturber=$!
  RIG_PIDS+=("$disturber")
}

# Called before the broker is stopped: what it measured.
# shellcheck disable=SC2317
rig_peer_stopping() {
  python3 bench/lib/isolation.py read "${RIG_ID}p" "$out" || rig_die "no answer from the broker's telemetry"
  [ "$disturbance" = none ] || {
    kill -TERM "$disturber" 2>/dev/null
    wait "$disturber" 2>/dev/null
    grep -q '^ready' "$RIG_TMP/disturber.log" || rig_die "the disturber had no session: $(tail -n 1 "$RIG_TMP/disturber.log")"
    tail -n 1 "$RIG_TMP/disturber.log" >"$out.disturber"
  }
}

wrong=0
# one DISTURBANCE PAIR WITH|WITHOUT
one() {
  out=$RIG_TMP/$1.$2.$3
  disturbance=none
  [ "$3" = without ] || disturbance=$1
  rig_run kaelix "$out.json" --seconds "$seconds" --mtu 1400 --rate "$rate" --batch 1 --topic quick --late-ms 60000 || wrong=1
  printf '%-16s pair %2d  %-7s residence p99.9 %10s ns\n' "$1" "$2" "$3" "$(python3 bench/lib/isolation.py p999 "$out")"
}

for d in "${names[@]}"; do
  for ((pair = 1; pair <= pairs; pair++)); do
    order="without with"
    [ $((pair % 2)) = 1 ] || order="with without"
    for side in $order; do
      one "$d" $pair "$side"
    done
  done
done
python3 bench/lib/isolation.py report "$RIG_TMP" "$json" "$pairs" "${names[@]}"
case $? in
  0) exit $wrong ;;
  3) exit 1 ;;
  *) exit 2 ;;
esac
