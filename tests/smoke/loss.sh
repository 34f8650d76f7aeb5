#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# timeout: 180
# 1 % loss, duplication and reordering in both directions, seeded: every message still arrives once, in order, with
# every byte right.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_pktgen.sh
. "$KX_ROOT/tests/smoke/_pktgen.sh"
need_cmd python3

broker_args=(--impair "rx:loss=0.01,dup=0.01,reorder=0.01,depth=8,seed=11"
  --impair "tx:loss=0.01,dup=0.01,reorder=0.01,depth=8,seed=12")
run_e2e full 3 --verify full
run_e2e single 3 --batch 1 --rate 20k --verify full
run_e2e many 3 --topic demo --producers 4 --consumers 2 --streams 100 --batch 2 --rate 50k --verify full
for name in full single many; do
  assert_clean $name
  [ "$(value $name retransmitted_frames)" -gt 0 ] || fail "$name: nothing was sent again, so nothing was lost"
done
echo "loss: $(value full messages_per_s) messages/s, $(value full retransmitted_frames) frames sent again"
