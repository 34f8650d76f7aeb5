#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Broker and generator as two processes over memif: every message of several load shapes arrives once, in order, with
# every byte right; the broker's ledger closes, no buffer is missing and nothing is allocated on the data lcore. Speed
# is measured in bench/, not here.
# timeout: 600
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_memif.sh
. "$(dirname "$0")/_memif.sh"
need_cmd python3

one() {
  memif_run "$@"
  memif_stop
}
one full 2
one single 2 --batch 1 --rate 20k --arrivals poisson
one pairs 4 --topic spread --producers 2 --consumers 2
one many 2 --topic spread --producers 8 --consumers 3 --streams 1000 --batch 4 --rate 50k --payload-bytes 100
one large 2 --payload-bytes 20000 --batch 1 --rate 500
one grown 2 --mtu 1500
assert_eq 1370 "$(value full frame_bytes)" "17 messages a frame"
assert_eq 1372 "$(value full datagram_bytes)" "datagrams of a path of 1400 bytes"
assert_eq 1472 "$(value grown datagram_bytes)" "datagrams of a path of 1500 bytes, before the load begins"
assert_eq 1514 "$(value grown frame_bytes)" "19 messages a frame"
assert_eq 0 "$(value grown mtu_falls)" "the path does not change"
assert_eq block "$(value full overrun)" "overrun of the topic"
[ "$(value full residence_ns count)" != null ] || fail "no residence time from telemetry"
[ "$(value full ack_latency_ns p50)" != null ] || fail "no publish -> ack latency"
echo "e2e: $(value full messages_per_s) messages/s"
