#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The same over af_xdp: ping, ARP, neighbour discovery, a million lines byte for byte.
# timeout: 900
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_veth.sh
. "$(dirname "$0")/_veth.sh"
veth_up

broker_ini net_af_xdp0 <<'INI'
[lcores]
data = 1
[memory]
log_bytes = 128M
[port @PORT@]
address = 10.77.0.1/24, fd77::1/64
[topic lines]
partitions = 1
overrun = block
INI
broker_start --no-huge --lcores '0@0,1@1' --vdev "net_af_xdp0,iface=$VETH"
veth_ping
veth_lines 1000000 lines
broker_stop TERM
