# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after _broker.sh: a veth pair, one end for the broker's port, the other an ordinary kernel host in the
# namespace "host" (10.77.0.2, fd77::2).

# veth_up: $VETH is the broker's interface.
veth_up() {
  need_cmd ethtool
  ns_add host
  VETH=${KX_ID}v0
  ip link add "$VETH" type veth peer name "${KX_ID}v1" 2>"$KX_TMP/veth.err" || skip "no veth here: $(cat "$KX_TMP/veth.err")"
  at_exit ip link del "$VETH"
  ip link set "${KX_ID}v1" netns "$(ns host)"
  # Frames of veth carry partial checksums otherwise.
  ethtool -K "$VETH" tx off >/dev/null
  in_ns host ethtool -K "${KX_ID}v1" tx off >/dev/null
  ip link set "$VETH" up
  ip -n "$(ns host)" link set "${KX_ID}v1" up
  ip -n "$(ns host)" addr add 10.77.0.2/24 dev "${KX_ID}v1"
  ip -n "$(ns host)" addr add fd77::2/64 dev "${KX_ID}v1" nodad
  # A burst of deliveries waits in the client's socket, whose size this limits.
  in_ns host sysctl -qw net.core.rmem_max=33554432 2>/dev/null || sysctl -qw net.core.rmem_max=33554432 || true
}

# veth_ping: IPv4 and IPv6 echo; ARP and neighbour discovery have found the broker's MAC.
veth_ping() {
  local mac
  in_ns host ping -q -c 20 -i 0.02 -W 10 10.77.0.1 >"$KX_TMP/ping" || fail "ping: $(cat "$KX_TMP/ping")"
  in_ns host ping -6 -q -c 20 -i 0.02 -W 10 fd77::1 >"$KX_TMP/ping" || fail "ping -6: $(cat "$KX_TMP/ping")"
  mac=$(telemetry "$BROKER_PREFIX" /kaelix/port/stats,0 | in_json /kaelix/port/stats mac | tr 'A-F' 'a-f')
  grep -q "$mac" <<<"$(ip -n "$(ns host)" neigh show 10.77.0.1)" || fail "ARP did not find $mac"
  grep -q "$mac" <<<"$(ip -n "$(ns host)" -6 neigh show fd77::1)" || fail "neighbour discovery did not find $mac"
}

# veth_lines COUNT TOPIC [ADDRESS]: that many lines through produce and consume from the kernel host, compared byte
# for byte. With several partitions only the order within each is kept: then both sides are sorted.
veth_lines() {
  local count=$1 topic=$2 address=${3:-10.77.0.1}
  awk -v n="$count" -v t="$topic" 'BEGIN {
    for (i = 1; i <= n; i++) printf "line %d of %s %.*s\n", i, t, i * 7919 % 60, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567"
  }' >"$KX_TMP/in"
  run_bg consume in_ns host "$KX_CLI" consume -b "$address" -t "$topic" --from 0 --count "$count" --idle-exit 120000 --timeout 60000
  in_ns host "$KX_CLI" produce -b "$address" -t "$topic" --timeout 60000 <"$KX_TMP/in" || fail "kaelix-cli produce: exit $?"
  wait_bg "$BG_PID" 300
  assert_eq 0 "$BG_RC" "exit code of kaelix-cli consume"
  if [ -n "${SORTED:-}" ]; then
    sort "$KX_TMP/in" >"$KX_TMP/in.sorted"
    sort "$KX_TMP/consume.log" >"$KX_TMP/out.sorted"
    cmp "$KX_TMP/in.sorted" "$KX_TMP/out.sorted" || fail "lines differ"
  else
    cmp "$KX_TMP/in" "$KX_TMP/consume.log" || fail "lines differ"
  fi
}
