#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# As fast as it goes over memif for a few seconds: every byte of every message verified, the ledger closes, nothing is
# allocated on the data lcore. Speed is measured in bench/, not here.
# timeout: 120
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_memif.sh
. "$(dirname "$0")/_memif.sh"

memif_ini 2
memif_broker
memif_generator --mode e2e --seconds 6 --warmup 1 --verify full --consumers 2 --producers 2
memif_stop
