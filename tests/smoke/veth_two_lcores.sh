#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two data lcores behind a port with one queue: frames for the second are handed over, and what it sends leaves
# through the first. Once with both polling, once with a partition lcore that only rings feed.
# timeout: 900
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_veth.sh
. "$(dirname "$0")/_veth.sh"
veth_up

one() {
  broker_ini net_af_packet0 "$1" <<INI
[lcores]
data = 1,2
rx = $2
[memory]
log_bytes = 128M
[port @PORT@]
address = 10.77.0.1/24, fd77::1/64
[topic lines]
partitions = 4
overrun = block
INI
  broker_start --no-huge --lcores '0@0,1@0,2@1' --vdev "net_af_packet0,iface=$VETH"
  veth_ping
  in_ns host "$KX_CLI" ping -b 10.77.0.1 --count 20 --timeout 60000
  SORTED=1 veth_lines 400000 lines
  for lcore in 1 2; do
    local stats
    stats=$(telemetry "$BROKER_PREFIX" "/kaelix/lcore/stats,$lcore")
    [ "$(in_json /kaelix/lcore/stats messages_in <<<"$stats")" -gt 0 ] || fail "lcore $lcore stored nothing"
    case $lcore in
    1) [ "$(in_json /kaelix/lcore/stats handover_out <<<"$stats")" -gt 0 ] || fail "nothing was handed over" ;;
    2) [ "$(in_json /kaelix/lcore/stats relay_out <<<"$stats")" -gt 0 ] || fail "nothing was relayed" ;;
    esac
  done
  broker_stop TERM
}

one both all
one rings 1
