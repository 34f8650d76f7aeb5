# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# To be sourced. Two processes on one memif wire: the generator (memif server) with its data lcore on CPU 0, and its
# peer (memif client, zero-copy where there are hugepages) with its data lcore on CPU 1. Each one's main lcore sleeps
# and shares its CPU.
#
#   rig_begin NAME BUILD            private directory RIG_TMP, hugepages where there can be some, clean-up on exit
#   rig_run PEER JSON ARG...        one run: PEER is `testpmd` (macswap) or `kaelix`; ARGs go to kaelix-pktgen.
#                                   RIG_QUIET=1 keeps its output in $RIG_TMP/pktgen.log. Returns its exit code.
#   rig_end                         stops what runs and removes what was made (also runs on exit)
#
# RIG_BROKER_EAL: more EAL arguments of the broker. Functions rig_peer_started and rig_peer_stopping, where defined, are
# called with the peer started and before it is stopped.
# RIG_CONFIG: the broker's ini.   RIG_CPU_GEN, RIG_CPU_PEER: CPUs, 0 and 1.   RIG_BROKER_ARGS: more arguments for it.
# rig_measured PREFIX JSON, when there is such a function, is called with the result there and the broker still running;
# PREFIX is its EAL file prefix.

# shellcheck source=tools/hugepages.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/hugepages.sh"

RIG_CPU_GEN=${RIG_CPU_GEN:-0}
RIG_CPU_PEER=${RIG_CPU_PEER:-1}
RIG_START_SECONDS=${RIG_START_SECONDS:-30}
RIG_TMP=
RIG_PIDS=()
RIG_BROKER_ARGS=()

rig_die() {
  echo "$*" >&2
  exit 2
}

rig_begin() {
  local program
  RIG_ID=kx$1$$
  RIG_BUILD=$2
  for program in app/pktgen/kaelix-pktgen app/broker/kaelix; do
    [ -x "$RIG_BUILD/$program" ] || rig_die "no $program in $RIG_BUILD; meson setup build && ninja -C build"
  done
  RIG_TMP=$(mktemp -d "${TMPDIR:-/tmp}/$RIG_ID.XXXXXX")
  trap rig_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # 2 x 192 MiB for generator and reflector, 512 MiB for the broker
  hugepages_reserve 512 || true
  RIG_HUGE=0
  local free
  free=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null || echo 0)
  if [ "$free" -ge 256 ] && grep -q ' hugetlbfs ' /proc/mounts; then
    RIG_HUGE=1
  fi
  mkfifo "$RIG_TMP/stdin"
  # testpmd ends when its input does: an input that never ends, without a process to write it.
  exec 9<>"$RIG_TMP/stdin"
}

# RIG_ARGS: EAL arguments common to all, lcores on one CPU, file prefix, memory.
_rig_eal() {
  local cpu=$1 prefix=$2 mb=$3
  RIG_ARGS=("--lcores=0@$cpu,1@$cpu" --no-pci "--file-prefix=$RIG_ID$prefix" --log-level=3 -m "$mb")
  [ "$RIG_HUGE" = 1 ] || RIG_ARGS+=(--no-huge --no-shconf)
}

_rig_client() {
  local vdev=net_memif0,role=client,id=0,socket=$RIG_TMP/wire,socket-abstract=no,bsize=2048,rsize=10
  if [ "$RIG_HUGE" = 1 ]; then
    RIG_ARGS+=(--single-file-segments "--vdev=$vdev,zero-copy=yes")
  else
    RIG_ARGS+=("--vdev=$vdev")
  fi
}

_rig_start_testpmd() {
  _rig_eal "$RIG_CPU_PEER" p 192
  _rig_client
  dpdk-testpmd "${RIG_ARGS[@]}" --no-telemetry -- --forward-mode=macswap --auto-start --total-num-mbufs=16384 \
    --no-mlockall <&9 >"$RIG_TMP/peer.log" 2>&1 &
  RIG_PEER=$!
}

_rig_start_kaelix() {
  _rig_eal "$RIG_CPU_PEER" p "${RIG_BROKER_MB:-512}"
  _rig_client
  "$RIG_BUILD/app/broker/kaelix" "${RIG_ARGS[@]}" ${RIG_BROKER_EAL[@]+"${RIG_BROKER_EAL[@]}"} -- --config "$RIG_CONFIG" "${RIG_BROKER_ARGS[@]}" <&9 >"$RIG_TMP/peer.log" 2>&1 &
  RIG_PEER=$!
}

_rig_running() {
  local state
  state=$(awk '{ sub(/.*\) /, ""); print $1 }' "/proc/$1/stat" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ]
}

# Only for children of this shell that were not waited for. testpmd is stopped by a line of input: on a signal it may
# crash in its memif driver.
_rig_stop() {
  local pid=$1 deadline=$((SECONDS + 10))
  if [ "${2:-}" = testpmd ] && _rig_running "$pid"; then
    echo >&9
  else
    kill -INT "$pid" 2>/dev/null
  fi
  while _rig_running "$pid"; do
    if [ $SECONDS -ge $deadline ]; then
      kill -KILL "$pid" 2>/dev/null
      break
    fi
    sleep 0.05
  done
  wait "$pid" 2>/dev/null
  # A line nobody took must not stop the next one.
  while read -r -t 0.01 -u 9; do :; done
}

_rig_clean_files() {
  local mount
  while read -r mount; do
    rm -f "$mount/$RIG_ID"*map_*
  done < <(awk '$3 == "hugetlbfs" { print $2 }' /proc/mounts)
  rm -rf "/var/run/dpdk/$RIG_ID"*
}

rig_run() {
  local peer=$1 json=$2 rc=0 deadline
  shift 2
  rm -f "$RIG_TMP/wire" "$RIG_TMP/ready" "$json"
  _rig_eal "$RIG_CPU_GEN" g 192
  RIG_ARGS+=(--no-telemetry "--vdev=net_memif0,role=server,id=0,socket=$RIG_TMP/wire,socket-abstract=no,bsize=2048,rsize=10")
  [ "$peer" != kaelix ] || set -- "$@" --broker-telemetry "${RIG_ID}p"
  if [ "${RIG_QUIET:-0}" = 1 ]; then
    "$RIG_BUILD/app/pktgen/kaelix-pktgen" "${RIG_ARGS[@]}" -- --hold 20 --ready "$RIG_TMP/ready" --json "$json" "$@" >"$RIG_TMP/pktgen.log" 2>&1 <&9 &
  else
    "$RIG_BUILD/app/pktgen/kaelix-pktgen" "${RIG_ARGS[@]}" -- --hold 20 --ready "$RIG_TMP/ready" --json "$json" "$@" <&9 &
  fi
  local generator=$!
  RIG_PIDS+=("$generator")
  deadline=$((SECONDS + RIG_START_SECONDS))
  until [ -e "$RIG_TMP/ready" ]; do
    if ! _rig_running "$generator" || [ $SECONDS -ge $deadline ]; then
      [ "${RIG_QUIET:-0}" = 0 ] || tail -n 5 "$RIG_TMP/pktgen.log" >&2
      rig_die "the generator did not start"
    fi
    sleep 0.05
  done
  "_rig_start_$peer"
  RIG_PIDS+=("$RIG_PEER")
  if declare -F rig_peer_started >/dev/null; then
    rig_peer_started
  fi
  # With the result there, the generator polls no more and waits for its peer to leave first.
  until [ -e "$json" ] || ! _rig_running "$generator"; do
    if ! _rig_running "$RIG_PEER"; then
      tail -n 5 "$RIG_TMP/peer.log" >&2
      _rig_stop "$generator"
      rig_die "$peer ended early"
    fi
    sleep 0.1
  done
  if [ "$peer" = kaelix ] && [ -e "$json" ] && declare -F rig_measured >/dev/null; then
    rig_measured "${RIG_ID}p" "$json"
  fi
  if declare -F rig_peer_stopping >/dev/null; then
    rig_peer_stopping
  fi
  _rig_stop "$RIG_PEER" "$peer"
  wait "$generator" || rc=$?
  RIG_PIDS=()
  _rig_clean_files
  [ $rc -ne 2 ] || {
    [ "${RIG_QUIET:-0}" = 0 ] || tail -n 5 "$RIG_TMP/pktgen.log" >&2
    tail -n 5 "$RIG_TMP/peer.log" >&2
    rig_die "the run with $peer failed"
  }
  return $rc
}

rig_end() {
  local rc=$? i
  trap - EXIT
  # The peer was started last and leaves first, as in rig_run.
  for ((i = ${#RIG_PIDS[@]} - 1; i >= 0; i--)); do
    _rig_stop "${RIG_PIDS[i]}"
  done
  [ -z "$RIG_TMP" ] || {
    _rig_clean_files
    rm -rf "$RIG_TMP"
  }
  hugepages_restore
  # What the caller has to take back.
  if declare -F rig_after >/dev/null; then
    rig_after
  fi
  exit $rc
}
