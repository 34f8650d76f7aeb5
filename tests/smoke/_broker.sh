# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after _init.sh: one broker at a time.

# broker_ini PORT [NAME]: an ini for one port, on the way to $KX_TMP/NAME.ini (b); more sections come from stdin.
# The instance name, and so the file prefix, is $KX_ID-NAME.
broker_ini() {
  BROKER_NAME=${2:-b}
  BROKER_INI=$KX_TMP/$BROKER_NAME.ini
  BROKER_PREFIX=$KX_ID-$BROKER_NAME
  printf '[broker]\nname = %s\n' "$BROKER_PREFIX" >"$BROKER_INI"
  sed "s/@PORT@/$1/" >>"$BROKER_INI"
}

# broker_start EAL-ARGS...: start it on that ini and wait until it is ready. BROKER_ARGS: more of our own options.
# BROKER_ENV: environment for it, such as (LD_PRELOAD=...).
BROKER_ARGS=()
# shellcheck disable=SC2034 # set by the scripts that source this
BROKER_ENV=()
broker_start() {
  run_bg broker env ${BROKER_ENV[@]+"${BROKER_ENV[@]}"} "$KX_BROKER" "$@" -- --config "$BROKER_INI" \
    --log-file "$KX_TMP/eal.log" ${BROKER_ARGS[@]+"${BROKER_ARGS[@]}"}
  BROKER_PID=$BG_PID
  wait_for "grep -qx ready '$KX_TMP/broker.log' || ! kill -0 $BROKER_PID" 60
  grep -qx ready "$KX_TMP/broker.log" || fail "the broker did not start"
}

# broker_ledger: the ledger of the running broker closes.
broker_ledger() {
  python3 "$KX_ROOT/tools/ledger.py" "$BROKER_PREFIX" 30 || fail "the ledger does not close"
}

# broker_stop [SIGNAL]: clean stop: exit code 0, every frame accounted for, every buffer back, no file left.
# shellcheck disable=SC2120 # the signal is TERM when none is given
broker_stop() {
  broker_ledger
  stop_bg "$BROKER_PID" "${1:-TERM}" 60
  assert_eq 0 "$BG_RC" "exit code of the broker"
  grep -qx 'leaked mbufs: 0' "$KX_TMP/broker.log" || fail "buffers leaked: $(grep leaked "$KX_TMP/broker.log")"
  grep -q ', open 0$' "$KX_TMP/broker.log" || fail "frames unaccounted for: $(grep '^frames' "$KX_TMP/broker.log")"
  [ ! -e "/var/run/dpdk/$BROKER_PREFIX" ] || fail "/var/run/dpdk/$BROKER_PREFIX was left"
}

# in_json KEY...: the value at that path of the JSON on stdin.
in_json() {
  python3 -c 'import json, sys
v = json.load(sys.stdin)
for k in sys.argv[1:]:
    v = v[int(k)] if isinstance(v, list) else v[k]
print(v)' "$@"
}
