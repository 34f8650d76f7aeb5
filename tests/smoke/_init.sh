# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced first by every smoke script:   . "$(dirname "$0")/_init.sh"
#
# A smoke script exits 0 (passed), 77 (skipped; its last line is the reason) or anything else (failed). A comment
# `# timeout: SECONDS` in its first 20 lines replaces the 300 s it may take. It runs under `set -eEu -o pipefail`:
# a command that fails ends it, with its line number. On the way out the clean-up queue runs, last in first out,
# and a script that left a process, a namespace, an interface or a hugepage file behind has failed.
#
# Variables
#   KX_ID       unique name of this run, at most 10 characters: begin every name that others can see with it
#               (--file-prefix, interfaces, socket names), so that left-overs are found
#   KX_TMP      private directory, removed at the end
#   KX_ROOT     the source tree;   KX_BUILD  the build tree (default KX_ROOT/build)
#   KX_BROKER, KX_PKTGEN, KX_CLI   the programs
# shellcheck disable=SC2034 # variables for the scripts that source this
set -eEu -o pipefail

KX_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KX_BUILD=$(realpath -m "${KX_BUILD:-$KX_ROOT/build}")
KX_BROKER=$KX_BUILD/app/broker/kaelix
KX_PKTGEN=$KX_BUILD/app/pktgen/kaelix-pktgen
KX_CLI=$KX_BUILD/app/cli/kaelix-cli
# Leaves 5 of an interface name's 15 characters. The x at its end: no id is the beginning of another.
export KX_ID=${KX_ID:-kx$$x}
KX_TMP=$(mktemp -d "${TMPDIR:-/tmp}/$KX_ID.XXXXXX")
readonly KX_ROOT KX_BUILD KX_BROKER KX_PKTGEN KX_CLI KX_ID KX_TMP

_queue=()
_bg_names=()

# at_exit COMMAND...: run it on the way out, before those queued earlier.
at_exit() {
  _queue+=("$(printf '%q ' "$@")")
}

# skip REASON
skip() {
  echo "$*"
  exit 77
}

# fail TEXT: shows the end of what the background programs printed, then TEXT.
fail() {
  local name
  for name in ${_bg_names[@]+"${_bg_names[@]}"}; do
    echo "--- $name, last lines:"
    tail -n 25 "$KX_TMP/$name.log" 2>/dev/null || true
  done
  echo "FAIL: $*" >&2
  exit 1
}

_on_error() {
  local rc=$?
  [ "$BASH_SUBSHELL" -eq 0 ] || exit "$rc"
  trap - ERR
  fail "${0##*/}:$1: exit $rc from: $BASH_COMMAND"
}

_on_exit() {
  local rc=$? i
  trap - EXIT ERR
  trap '' INT TERM
  set +e
  for ((i = ${#_queue[@]} - 1; i >= 0; i--)); do
    eval "${_queue[i]}"
  done
  rm -rf "$KX_TMP" "/var/run/dpdk/$KX_ID"*
  if ! env -u KX_ID bash "$KX_ROOT/tests/smoke/_leftovers.sh" --clean "$KX_ID"; then
    # A skip or a pass that leaves something is neither.
    [ "$rc" -ne 0 ] && [ "$rc" -ne 77 ] || rc=1
  fi
  exit "$rc"
}
trap '_on_error $LINENO' ERR
trap _on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# need_root: skip unless root.   need_cmd NAME...: skip unless the commands are there.
need_root() {
  [ "$(id -u)" -eq 0 ] || skip "needs root"
}
need_cmd() {
  local name
  for name in "$@"; do
    command -v "$name" >/dev/null || skip "needs $name"
  done
}

# have_hugepages MB: true when that much is free in 2 MiB pages and hugetlbfs is mounted.
have_hugepages() {
  local free
  free=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null) || return 1
  [ $((free * 2)) -ge "$1" ] && grep -q ' hugetlbfs ' /proc/mounts
}

# wait_for 'COMMAND' SECONDS: evaluate it every 50 ms until it is true; fails after SECONDS.
wait_for() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + $2 * 1000000))
  until eval "$1" >/dev/null 2>&1; do
    [ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || fail "waited $2 s for: $1"
    sleep 0.05
  done
}

# run_bg NAME COMMAND...: start it with its output in $KX_TMP/NAME.log and no input; its pid is in BG_PID; stopped
# on the way out.
run_bg() {
  local name=$1
  shift
  # ip becomes the command, so that its pid is the one that is signalled.
  [ "$1" != in_ns ] || set -- ip netns exec "$(ns "$2")" "${@:3}"
  # Here, not only in the child: what an earlier program of that name printed must not be read as this one's.
  : >"$KX_TMP/$name.log"
  "$@" >"$KX_TMP/$name.log" 2>&1 </dev/null &
  BG_PID=$!
  _bg_names+=("$name")
  at_exit stop_bg "$BG_PID" TERM 10
}

# stop_bg PID [SIGNAL [SECONDS]]: signal it (TERM), and SIGKILL if it runs after SECONDS (10) more. Its exit status
# is in BG_RC: 137 when it had to be killed. Stopping twice is harmless.
stop_bg() {
  local pid=$1 deadline=$((SECONDS + ${3:-10}))
  # Only while it is a child of this shell that was not waited for: the pid may be another's by now.
  BG_RC=0
  if grep -qx "$pid" <<<"$(jobs -p)"; then
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    while _is_running "$pid"; do
      if [ $SECONDS -ge $deadline ]; then
        echo "process $pid did not stop in ${3:-10} s; killed"
        kill -KILL "$pid" 2>/dev/null || true
        break
      fi
      sleep 0.05
    done
    wait "$pid" 2>/dev/null || BG_RC=$?
  fi
  return 0
}

# Running and no zombie.
_is_running() {
  local state
  state=$(awk '{ sub(/.*\) /, ""); print $1 }' "/proc/$1/stat" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ]
}

# wait_bg PID SECONDS: wait for it to end by itself; its exit status is in BG_RC; fails when it does not.
wait_bg() {
  local deadline=$((SECONDS + $2))
  while _is_running "$1"; do
    [ $SECONDS -lt $deadline ] || fail "process $1 still runs after $2 s"
    sleep 0.05
  done
  BG_RC=0
  wait "$1" || BG_RC=$?
}

# ns_add NAME: a private network namespace, loopback up, removed on the way out. ns NAME: its full name.
# in_ns NAME COMMAND...: run in it; also as `run_bg LABEL in_ns NAME COMMAND...`.
ns() {
  echo "$KX_ID-$1"
}
ns_add() {
  need_root
  need_cmd ip
  ip netns add "$(ns "$1")" 2>"$KX_TMP/netns.err" || skip "no network namespaces here: $(tail -n 1 "$KX_TMP/netns.err")"
  at_exit ip netns del "$(ns "$1")"
  ip -n "$(ns "$1")" link set lo up
}
in_ns() {
  local name
  name=$(ns "$1")
  shift
  ip netns exec "$name" "$@"
}

# prefix_clean PREFIX: remove, on the way out, the hugepage files that another program (testpmd) leaves for its
# --file-prefix. Our own programs leave none, so do not call it for them.
prefix_clean() {
  local mount
  while read -r mount; do
    at_exit eval "rm -f $(printf '%q' "$mount/$1")map_*"
  done < <(awk '$3 == "hugetlbfs" { print $2 }' /proc/mounts)
}

# telemetry PREFIX COMMAND: print the JSON that the process with this --file-prefix answers.
telemetry() {
  python3 "$KX_ROOT/tests/smoke/_telemetry.py" "$1" "$2"
}

# assert_eq WANT GOT WHAT
assert_eq() {
  [ "$1" = "$2" ] || fail "$3: want '$1', got '$2'"
}
