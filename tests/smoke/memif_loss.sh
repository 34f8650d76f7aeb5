#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# 1 % loss, duplication and reordering in both directions, seeded: every message arrives once, in order, intact.
# timeout: 120
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_memif.sh
. "$(dirname "$0")/_memif.sh"

memif_ini 1
BROKER_ARGS=(--impair 'rx:loss=0.01,dup=0.01,reorder=0.01,seed=1' --impair 'tx:loss=0.01,dup=0.01,reorder=0.01,seed=2')
memif_broker
memif_generator --mode e2e --seconds 6 --warmup 1 --verify full --rate 100k
lost=$(telemetry "$BROKER_PREFIX" /kaelix/drops | in_json /kaelix/drops total impair_lost)
[ "$lost" -gt 50 ] || fail "only $lost frames were lost on purpose: the impairment did not work"
memif_stop
