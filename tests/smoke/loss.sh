#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# 1 % loss, duplication and reordering in both directions, seeded: every message still arrives once, in order, with
# every byte right; the ledger closes, no buffer is missing and nothing is allocated on the data lcore.
# timeout: 600
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_memif.sh
. "$(dirname "$0")/_memif.sh"
need_cmd python3

# shellcheck disable=SC2034 # _memif.sh and _broker.sh use them
MEMIF_FIRST=generator
# shellcheck disable=SC2034
BROKER_ARGS=(--impair "rx:loss=0.01,dup=0.01,reorder=0.01,depth=8,seed=11"
  --impair "tx:loss=0.01,dup=0.01,reorder=0.01,depth=8,seed=12")

one() {
  local lost
  memif_run "$@"
  lost=$(telemetry "$BROKER_PREFIX" /kaelix/drops | in_json /kaelix/drops total impair_lost)
  [ "$lost" -gt 0 ] || fail "$1: nothing was lost on purpose"
  [ "$(value "$1" retransmitted_frames)" -gt 0 ] || fail "$1: nothing was sent again, so nothing was lost"
  memif_stop
}
one full 3
one single 3 --batch 1 --rate 20k
one many 3 --topic spread --producers 4 --consumers 2 --streams 100 --batch 2 --rate 50k
echo "loss: $(value full messages_per_s) messages/s, $(value full retransmitted_frames) frames sent again"
