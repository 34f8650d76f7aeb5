#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# timeout: 120
# The generator's echo mode against testpmd macswap over memif: everything comes back, is verified, and the result
# file says so; its bad options are refused with one line.
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
"$KX_PKTGEN" -- --help | grep -q -- --frame-bytes

# echo NAME SECONDS ARG...
run_echo() {
  local name=$1 seconds=$2
  shift 2
  rm -f "$KX_TMP/wire" "$KX_TMP/ready"
  run_bg "gen-$name" "$KX_PKTGEN" --lcores '0@0,1@0' --no-pci --file-prefix "${KX_ID}g" -m 128 ${memory[@]+"${memory[@]}"} \
    "--vdev=net_memif0,role=server,id=0,socket=$KX_TMP/wire,socket-abstract=no" -- --mode echo --ready "$KX_TMP/ready" --seconds "$seconds" \
    --json "$KX_TMP/$name.json" "$@"
  local generator=$BG_PID
  wait_for "[ -e $KX_TMP/ready ]" 30
  # testpmd ends when its input does.
  mkfifo "$KX_TMP/in-$name"
  # shellcheck disable=SC2016 # for the inner shell
  run_bg "testpmd-$name" bash -c 'exec 9<>"$1"; shift; exec "$@" <&9' - "$KX_TMP/in-$name" dpdk-testpmd \
    --lcores '0@1,1@1' --no-pci --file-prefix "${KX_ID}p" -m 192 --no-telemetry --log-level=3 \
    ${memory[@]+"${memory[@]}"} ${copy[@]+"${copy[@]}"} \
    "--vdev=net_memif0,role=client,id=0,socket=$KX_TMP/wire,socket-abstract=no${copy[*]:+,zero-copy=yes}" -- \
    --forward-mode=macswap --auto-start --total-num-mbufs=16384 --no-mlockall
  local reflector=$BG_PID
  wait_bg "$generator" 60
  assert_eq 0 "$BG_RC" "exit code of the generator ($name)"
  echo 1<>"$KX_TMP/in-$name"
  wait_bg "$reflector" 20
}

value() {
  python3 "$KX_ROOT/bench/lib/stats.py" get "$KX_TMP/$1.json" "${@:2}"
}

run_echo max 1 --frame-bytes 1370 --verify full
# A reflector drops what finds its ring of 1024 full: at this rate a stop of 0.1 s, which a busy machine may have.
run_echo poisson 2 --frame-bytes 218 --rate 10k --arrivals poisson --verify full

for name in max poisson; do
  for key in lost duplicated reordered corrupt; do
    assert_eq 0 "$(value $name $key)" "$name: $key"
  done
  assert_eq "$(value $name sent)" "$(value $name received)" "$name: all came back"
done
assert_eq 1370 "$(value max frame_bytes)" "frame size"
assert_eq null "$(value max offered_per_s)" "nothing is offered without a schedule"
assert_eq 10000 "$(value poisson offered_per_s)" "offered rate"
[ "$(value max received)" -gt 10000 ] || fail "only $(value max received) frames in a second"
# 20,000 samples: p99 needs 10,000 of them, p99.9 100,000.
[ "$(value poisson latency_ns p99)" != null ] || fail "no p99"
assert_eq null "$(value poisson latency_ns p999)" "p99.9 of too few samples"
echo "echo: $(value max frames_per_s) frames/s of 1370 B"
