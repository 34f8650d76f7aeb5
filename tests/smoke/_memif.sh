# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after _broker.sh: broker and generator as two processes over memif, one CPU each. The broker runs on the
# shipped configuration and a topic "spread" of 4 partitions that waits for its consumers, as "quick" does; it is the
# memif client, zero-copy where there are hugepages.
#   MEMIF_FIRST                 who is started first: broker (it waits for its peer) or generator
#   memif_run NAME SECONDS ARG...   a fresh pair, until there is a result; everything sent arrived once, in order
#                               and intact. The generator stays, unpolled: it is the last to leave. BROKER_ARGS: more arguments for the broker
#   memif_stop                  the broker, then the generator, end clean; the data lcore allocated nothing
#   value NAME KEY...           of the generator's result

MEMIF_FIRST=broker
MEMIF_SOCKET=$KX_TMP/memif.sock
MEMIF_BROKER=(--vdev "net_memif0,role=client,socket=$MEMIF_SOCKET,socket-abstract=no")
MEMIF_GEN=(--vdev "net_memif0,role=server,socket=$MEMIF_SOCKET,socket-abstract=no" --no-pci --file-prefix "${KX_ID}g")
if have_hugepages 600; then
  MEMIF_BROKER[1]+=,zero-copy=yes
else
  MEMIF_BROKER+=(--no-huge)
  MEMIF_GEN+=(--no-huge --no-shconf -m 512)
  echo "no hugepages: memif without zero-copy"
fi

# Allocations of its data lcore are counted from when it says that it is ready.
memif_broker() {
  broker_ini net_memif0 b < <(sed -e '/^\[auth\]$/,/^\[broker\]$/d' -e '/^name = /d' -e 's/^log_bytes = 256M/log_bytes = 64M/' \
    "$KX_ROOT/config/kaelix.ini" && printf '[topic spread]\npartitions = 4\noverrun = block\n')
  # shellcheck disable=SC2034 # broker_start uses it
  BROKER_ENV=("LD_PRELOAD=$KX_BUILD/tests/helpers/liballoc_count.so" "KX_ALLOC_COUNT_FILE=$KX_TMP/alloc")
  broker_start --lcores '0@0,1@0' "${MEMIF_BROKER[@]}"
  kill -USR1 "$BROKER_PID"
}

# memif_generator NAME SECONDS ARG...: what is slow to arrive is waited for, not lost.
memif_generator() {
  rm -f "$KX_TMP/ready" "$MEMIF_SOCKET" "$KX_TMP/$1.json"
  run_bg "gen-$1" "$KX_PKTGEN" --lcores '0@1,1@1' "${MEMIF_GEN[@]}" -- --mode e2e --quiet --hold 20 --ready "$KX_TMP/ready" \
    --seconds "$2" --mtu 1400 --verify full --late-ms 60000 --drain-ms 60000 --broker-telemetry "$KX_ID-b" \
    --json "$KX_TMP/$1.json" "${@:3}"
  MEMIF_GEN_PID=$BG_PID
  wait_for "[ -e $KX_TMP/ready ] || ! kill -0 $MEMIF_GEN_PID" 60
}

value() {
  python3 "$KX_ROOT/bench/lib/stats.py" get "$KX_TMP/$1.json" "${@:2}"
}

memif_run() {
  local key
  [ $MEMIF_FIRST != broker ] || memif_broker
  memif_generator "$@"
  [ $MEMIF_FIRST = broker ] || memif_broker
  wait_for "[ -e $KX_TMP/$1.json ] || ! _is_running $MEMIF_GEN_PID" 150
  [ -e "$KX_TMP/$1.json" ] || fail "$1: the generator ended without a result"
  for key in lost duplicated reordered corrupt failed foreign; do
    assert_eq 0 "$(value "$1" $key)" "$1: $key"
  done
  [ "$(value "$1" received)" -gt 0 ] || fail "$1: nothing was received"
  assert_eq "$(($(value "$1" sent) * $(value "$1" consumers)))" "$(value "$1" received)" "$1: each consumer gets everything"
}

memif_stop() {
  broker_stop INT
  wait_bg "$MEMIF_GEN_PID" 60
  assert_eq 0 "$BG_RC" "exit code of the generator"
  cat "$KX_TMP/alloc"
  grep -q '^alloc_count: armed=1 data_lcore_threads=1 allocations=0 ' "$KX_TMP/alloc" || fail "the data lcore allocated"
}
