#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The broker starts, sleeps on its control lcore, stops on SIGINT and SIGTERM and leaves nothing; with and without
# hugepages, with one and two data lcores, with lcores that share a CPU.
# timeout: 600
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"

ini() {
  broker_ini net_ring0 "$1" <<INI
[lcores]
data = $2
[memory]
log_bytes = 16M
[port @PORT@]
address = 10.77.0.1/24, fd77::1/64
[topic quick]
partitions = 2
INI
}

# The control lcore sleeps: of a second, or how long it becomes, its thread uses no more than 5 % and a tick.
assert_main_sleeps() {
  local stat=/proc/$BROKER_PID/task/$BROKER_PID/stat from=${EPOCHREALTIME/[.,]/} before ms ticks
  before=$(awk '{ print $14 + $15 }' "$stat")
  sleep 1
  ticks=$(($(awk '{ print $14 + $15 }' "$stat") - before))
  ms=$(((${EPOCHREALTIME/[.,]/} - from) / 1000))
  [ $((ticks * 1000 / $(getconf CLK_TCK))) -le $((ms / 20 + 10)) ] ||
    fail "the control lcore used $ticks ticks in $ms ms"
}

ini one 1
broker_start --no-huge --vdev net_ring0
assert_main_sleeps
assert_eq "$BROKER_PREFIX" "$(telemetry "$BROKER_PREFIX" /kaelix/info | in_json /kaelix/info name)" "name"
broker_stop INT

broker_start --no-huge --vdev net_ring0
broker_stop TERM

ini two 0,1
broker_start --no-huge --vdev net_ring0
assert_eq 2 "$(telemetry "$BROKER_PREFIX" /kaelix/lcore/list | in_json /kaelix/lcore/list total)" "data lcores"
broker_stop TERM

ini shared 1,2
broker_start --no-huge --vdev net_ring0 --lcores '0@0,1@0,2@0'
broker_stop TERM

ini auto auto
broker_start --no-huge --vdev net_ring0
broker_stop TERM

# Its standard output is a pipe that is full, and nobody reads it: it starts, serves and stops all the same.
mkfifo "$KX_TMP/unread"
exec 7<>"$KX_TMP/unread"
python3 - 7 <<'PY'
import fcntl, os, sys

fd = int(sys.argv[1])
fcntl.fcntl(fd, 1031, 4096)  # F_SETPIPE_SZ
os.set_blocking(fd, False)
try:
    while True:
        os.write(fd, b"x")
except BlockingIOError:
    pass
os.set_blocking(fd, True)
PY
ini unread 1
run_bg unread "$BASH" -c 'exec "$@" >&7' unread "$KX_BROKER" --no-huge --vdev net_ring0 -- --config "$BROKER_INI"
wait_for "telemetry '$BROKER_PREFIX' /kaelix/info" 60
stop_bg "$BG_PID" TERM 20
assert_eq 0 "$BG_RC" "exit code of a broker whose output nobody reads"
exec 7>&-

if have_hugepages 128; then
  ini huge 1
  broker_start --vdev net_ring0
  assert_eq 1 "$(telemetry "$BROKER_PREFIX" /kaelix/info | in_json /kaelix/info hugepages)" "hugepages"
  broker_stop TERM
else
  echo "without hugepages: that start was not tried"
fi

out=$("$KX_BROKER" --config "$BROKER_INI" --check) || fail "--check says: $out"
grep -q 'not checked here' <<<"$out" || fail "--check does not say what it leaves out"
[ ! -e "/var/run/dpdk/$BROKER_PREFIX" ] || fail "--check left files"

for option in --help --version --check; do
  for how in '>&-' '>/dev/full'; do
    rc=0
    bash -c '"$@" '"$how" check "$KX_BROKER" --config "$BROKER_INI" "$option" 2>"$KX_TMP/err" || rc=$?
    assert_eq 1 "$rc" "exit code of $option $how"
    grep -q 'standard output' "$KX_TMP/err" || fail "$option $how: $(cat "$KX_TMP/err")"
  done
done
