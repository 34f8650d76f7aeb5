#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# timeout: 600
# The generator's echo mode against testpmd macswap over memif: what comes back is right, what does not is counted, and
# the result file says so; its bad options are refused with one line. How many frames the reflector loses depends on
# how busy the machine is, and decides nothing here.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
need_cmd dpdk-testpmd python3

memory=(--no-huge --no-shconf)
copy=()
if have_hugepages 384; then
  memory=()
  copy=(--single-file-segments)
  prefix_clean "${KX_ID}p"
fi

refused() {
  local rc=0
  "$KX_PKTGEN" -- "$@" >"$KX_TMP/out" 2>"$KX_TMP/err" || rc=$?
  assert_eq 2 "$rc" "exit code of $*"
  assert_eq 1 "$(wc -l <"$KX_TMP/err")" "lines on stderr of $*"
}
refused --frame-bytes 59
refused --no-such-option 1
refused --mode echo --rate 0
refused --principal desk
grep -q 'principal desk needs --key-file' "$KX_TMP/err"
refused --principal 'a b'
grep -q 'letters, digits' "$KX_TMP/err"
grep -q -- --frame-bytes <<<"$("$KX_PKTGEN" -- --help)"

value() {
  python3 "$KX_ROOT/bench/lib/stats.py" get "$KX_TMP/$1.json" "${@:2}"
}

# check_books NAME RC: all that was sent came back right or is lost; exit code 0 when nothing is, else 1.
check_books() {
  local key lost
  for key in duplicated reordered corrupt foreign failed; do
    assert_eq 0 "$(value "$1" $key)" "$1: $key"
  done
  lost=$(value "$1" lost)
  assert_eq "$(value "$1" sent)" $(($(value "$1" received) + lost)) "$1: received + lost"
  assert_eq $((lost > 0)) "$2" "$1: exit code of the generator, of whose frames $lost are lost"
  [ "$(value "$1" received)" -gt 0 ] || fail "$1: nothing came back"
  [ "$(value "$1" latency_ns count)" -gt 0 ] || fail "$1: no latency"
}

# run_echo NAME SECONDS ARG...
run_echo() {
  local name=$1 seconds=$2
  shift 2
  rm -f "$KX_TMP/wire" "$KX_TMP/ready"
  run_bg "gen-$name" "$KX_PKTGEN" --lcores '0@0,1@0' --no-pci --file-prefix "${KX_ID}g" -m 128 ${memory[@]+"${memory[@]}"} \
    "--vdev=net_memif0,role=server,id=0,socket=$KX_TMP/wire,socket-abstract=no" -- --mode echo --hold 20 --ready "$KX_TMP/ready" --seconds "$seconds" \
    --json "$KX_TMP/$name.json" "$@"
  local generator=$BG_PID
  wait_for "[ -e $KX_TMP/ready ] || ! kill -0 $generator" 60
  # testpmd ends when its input does.
  mkfifo "$KX_TMP/in-$name"
  # shellcheck disable=SC2016 # for the inner shell
  run_bg "testpmd-$name" bash -c 'exec 9<>"$1"; shift; exec "$@" <&9' - "$KX_TMP/in-$name" dpdk-testpmd \
    --lcores '0@1,1@1' --no-pci --file-prefix "${KX_ID}p" -m 192 --no-telemetry --log-level=3 \
    ${memory[@]+"${memory[@]}"} ${copy[@]+"${copy[@]}"} \
    "--vdev=net_memif0,role=client,id=0,socket=$KX_TMP/wire,socket-abstract=no${copy[*]:+,zero-copy=yes}" -- \
    --forward-mode=macswap --auto-start --total-num-mbufs=16384 --no-mlockall
  local reflector=$BG_PID
  wait_for "[ -e $KX_TMP/$name.json ] || ! _is_running $generator" 120
  [ -s "$KX_TMP/$name.json" ] || fail "$name: the generator ended without a result"
  echo 1<>"$KX_TMP/in-$name"
  wait_bg "$reflector" 60
  [ "$BG_RC" -eq 0 ] || echo "testpmd ended with $BG_RC"
  # The last to leave: a memif peer must not go while the other is in a burst.
  wait_bg "$generator" 60
  check_books "$name" "$BG_RC"
}

run_echo max 1 --frame-bytes 1370 --verify full
run_echo poisson 2 --frame-bytes 218 --rate 10k --arrivals poisson --verify full

assert_eq 1370 "$(value max frame_bytes)" "frame size"
assert_eq null "$(value max offered_per_s)" "nothing is offered without a schedule"
assert_eq 10000 "$(value poisson offered_per_s)" "offered rate"
# 20,000 samples are expected: p99.9 needs 100,000.
assert_eq null "$(value poisson latency_ns p999)" "p99.9 of too few samples"
echo "echo: $(value max frames_per_s) frames/s of 1370 B"
