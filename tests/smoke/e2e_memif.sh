#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# timeout: 180
# Broker and generator as two processes over memif: every message of several load shapes arrives once, in order, with
# every byte right, and the broker's ledger closes.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_pktgen.sh
. "$KX_ROOT/tests/smoke/_pktgen.sh"
need_cmd python3

run_e2e full 2 --verify full
run_e2e single 2 --batch 1 --rate 50k --arrivals poisson --verify full
run_e2e many 2 --topic demo --producers 8 --consumers 3 --streams 1000 --batch 4 --rate 100k --payload-bytes 100 \
  --verify full
run_e2e large 2 --payload-bytes 20000 --batch 1 --rate 500 --verify full
for name in full single many large; do
  assert_clean $name
done
assert_eq 1370 "$(value full frame_bytes)" "17 messages a frame"
assert_eq block "$(value full overrun)" "overrun of the topic"
assert_eq "$(($(value many sent) * 3))" "$(value many received)" "three consumers get everything"
[ "$(value full residence_ns count)" != null ] || fail "no residence time from telemetry"
[ "$(value full ack_latency_ns p50)" != null ] || fail "no publish -> ack latency"
echo "e2e: $(value full messages_per_s) messages/s"
