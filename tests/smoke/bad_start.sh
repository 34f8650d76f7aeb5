#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every start that cannot succeed ends with exit code 2, with one line of ours last on stderr that says what to do,
# and with nothing left behind.
# timeout: 600
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"

broker_ini net_ring0 <<'INI'
[lcores]
data = 1
[memory]
log_bytes = 16M
[port @PORT@]
address = 10.77.0.1/24
[topic quick]
partitions = 1
INI

# refused PATTERN ARGS...: run it; the last line of stderr is ours and matches.
refused() {
  local pattern=$1 rc=0 last
  shift
  timeout 60 "$KX_BROKER" "$@" >"$KX_TMP/out" 2>"$KX_TMP/err" </dev/null || rc=$?
  last=$(tail -n 1 "$KX_TMP/err")
  assert_eq 2 "$rc" "exit code of: $*: $last"
  [[ $last == "kaelix: "* ]] || fail "the last line on stderr is not ours: $last"
  grep -qE -- "$pattern" <<<"$last" || fail "want '$pattern' in: $last"
  [ -n "${LEFT_OK:-}" ] || [ ! -e "/var/run/dpdk/$BROKER_PREFIX" ] || fail "files were left by: $*"
  echo "ok: $last"
}
edited() {
  sed "$1" "$BROKER_INI" >"$KX_TMP/edited.ini"
  echo "$KX_TMP/edited.ini"
}
ring=(--no-huge --vdev net_ring0)

refused 'nope.ini: .*No such file' "${ring[@]}" -- --config "$KX_TMP/nope.ini"
refused '--config FILE is missing' "${ring[@]}"
refused 'option --what is unknown' "${ring[@]}" -- --config "$BROKER_INI" --what
refused 'nonsense.*not understood' "${ring[@]}" -- --config "$BROKER_INI" nonsense
refused 'impair.*loss=2.*not understood|loss' "${ring[@]}" -- --config "$BROKER_INI" --impair rx:loss=2
refused 'log-file' "${ring[@]}" -- --config "$BROKER_INI" --log-file "$KX_TMP/no/such/dir"
refused 'edited.ini:.*colour' "${ring[@]}" -- --config "$(edited '/log_bytes/a colour = blue')"
refused 'has 2 errors' "${ring[@]}" -- --config "$(edited '/log_bytes/a colour = blue\nshape = round')"
refused 'there are no ports' --no-huge -- --config "$BROKER_INI"
refused 'port net_ring7.*no such port, only: net_ring0' "${ring[@]}" -- \
  --config "$(edited 's/port net_ring0/port net_ring7/')"
refused 'net_nosuch0.*no driver' --no-huge --vdev net_nosuch0 -- --config "$BROKER_INI"
refused 'net_memif0' --no-huge --vdev net_memif0,role=king -- --config "$BROKER_INI"
refused 'EAL options' "${ring[@]}" --no-such-option -- --config "$BROKER_INI"
refused 'lcore 1 .*not among' "${ring[@]}" --lcores '0@0,5@0' -- --config "$BROKER_INI"
refused 'lcore 1 is EAL.s main lcore' "${ring[@]}" --lcores '1@0,5@0' -- --config "$BROKER_INI"
refused 'lcore 999.*no CPU 999' "${ring[@]}" -- --config "$(edited 's/^data = 1/data = 999/')"
refused 'contiguous memory.*-m' "${ring[@]}" -m 8 -- --config "$BROKER_INI"
refused 'packet pool.*-m' "${ring[@]}" -m 24 -- --config "$BROKER_INI"
refused 'hugepages are needed.*nr_hugepages.*--no-huge' --vdev net_ring0 -- \
  --config "$(edited 's/log_bytes = 16M/log_bytes = 900G/')"
refused '[Mm][Tt][Uu]' "${ring[@]}" -- --config "$(edited '/address/a mtu = 9600')" ||
  fail "an MTU that the port cannot have was taken"

broker_start --no-huge --vdev net_ring0
LEFT_OK=1 refused "file prefix '$BROKER_PREFIX' is in use" "${ring[@]}" -- --config "$BROKER_INI"
LEFT_OK=1 refused "file prefix '$BROKER_PREFIX' is in use" "${ring[@]}" --no-shconf -- --config "$BROKER_INI"
# The one that was there did not notice.
assert_eq "$BROKER_PREFIX" "$(telemetry "$BROKER_PREFIX" /kaelix/info | in_json /kaelix/info name)" "name"
broker_stop TERM
