#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An ordinary kernel host talks to the broker over veth and af_packet, without hugepages: ping, ARP, neighbour
# discovery, a million lines byte for byte, IPv4 and IPv6. No data lcore allocates meanwhile.
# timeout: 900
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_veth.sh
. "$(dirname "$0")/_veth.sh"
veth_up

broker_ini net_af_packet0 <<'INI'
[lcores]
data = 1
[memory]
log_bytes = 128M
[port @PORT@]
address = 10.77.0.1/24, fd77::1/64
[topic lines]
partitions = 1
overrun = block
[topic six]
partitions = 1
overrun = block
INI
BROKER_ENV=("LD_PRELOAD=$KX_BUILD/tests/helpers/liballoc_count.so" "KX_ALLOC_COUNT_FILE=$KX_TMP/alloc")
broker_start --no-huge --lcores '0@0,1@1' --vdev "net_af_packet0,iface=$VETH"
veth_ping
in_ns host "$KX_CLI" ping -b 10.77.0.1 --count 20 --timeout 60000
# Warm-up is over: from here on data lcores allocate nothing.
kill -USR1 "$BROKER_PID"
veth_lines 1000000 lines
veth_lines 100000 six fd77::1
topics=$(in_ns host "$KX_CLI" topics -b 10.77.0.1 --timeout 60000)
grep -q lines <<<"$topics" || fail "kaelix-cli topics does not show the topic"
assert_eq 1000000 "$(telemetry "$BROKER_PREFIX" /kaelix/topic/stats,lines | in_json /kaelix/topic/stats messages_in)" \
  "messages that the topic counts"
broker_stop TERM
cat "$KX_TMP/alloc"
grep -q '^alloc_count: armed=1 data_lcore_threads=1 allocations=0 ' "$KX_TMP/alloc" ||
  fail "a data lcore allocated after the warm-up"
