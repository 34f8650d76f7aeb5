# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after _init.sh by scripts that run broker and generator over memif.
#   run_e2e NAME SECONDS ARG...   a fresh pair of processes; broker_args: more arguments for the broker
#   value NAME KEY...             of its result
#   assert_clean NAME             nothing lost, duplicated, reordered, corrupt, failed; all sent was received
broker_args=()
memory=(--no-huge --no-shconf)
copy=()
if have_hugepages 640; then
  memory=()
  copy=(--single-file-segments)
fi
# The shipped configuration with a log that fits beside other tests.
sed 's/^log_bytes = 256M/log_bytes = 64M/' "$KX_ROOT/config/kaelix.ini" >"$KX_TMP/broker.ini"

run_e2e() {
  local name=$1 seconds=$2
  shift 2
  rm -f "$KX_TMP/wire" "$KX_TMP/ready"
  run_bg "gen-$name" "$KX_PKTGEN" --lcores '0@0,1@0' --no-pci --file-prefix "${KX_ID}g" -m 128 ${memory[@]+"${memory[@]}"} \
    "--vdev=net_memif0,role=server,id=0,socket=$KX_TMP/wire,socket-abstract=no" -- --ready "$KX_TMP/ready" --seconds "$seconds" --mtu 1400 \
    --late-ms 20000 --drain-ms 20000 \
    --broker-telemetry "${KX_ID}b" --json "$KX_TMP/$name.json" "$@"
  local generator=$BG_PID
  wait_for "[ -e $KX_TMP/ready ]" 30
  run_bg "broker-$name" "$KX_BROKER" --lcores '0@1,1@1' --file-prefix "${KX_ID}b" -m 384 ${memory[@]+"${memory[@]}"} \
    ${copy[@]+"${copy[@]}"} \
    "--vdev=net_memif0,role=client,id=0,socket=$KX_TMP/wire,socket-abstract=no${copy[*]:+,zero-copy=yes}" -- \
    --config "$KX_TMP/broker.ini" ${broker_args[@]+"${broker_args[@]}"}
  local broker=$BG_PID
  wait_bg "$generator" 120
  assert_eq 0 "$BG_RC" "exit code of the generator ($name)"
  stop_bg "$broker" INT 20
  assert_eq 0 "$BG_RC" "exit code of the broker ($name)"
  grep -q '^frames: .* open 0$' "$KX_TMP/broker-$name.log" || fail "$name: the broker's ledger does not close"
  grep -q '^leaked mbufs: 0$' "$KX_TMP/broker-$name.log" || fail "$name: the broker leaked buffers"
}

value() {
  python3 "$KX_ROOT/bench/lib/stats.py" get "$KX_TMP/$1.json" "${@:2}"
}

assert_clean() {
  local key
  for key in lost duplicated reordered corrupt failed foreign late; do
    assert_eq 0 "$(value "$1" $key)" "$1: $key"
  done
  [ "$(value "$1" received)" -gt 0 ] || fail "$1: nothing was received"
  [ "$(value "$1" received)" -ge "$(value "$1" sent)" ] || fail "$1: sent $(value "$1" sent), received $(value "$1" received)"
}
